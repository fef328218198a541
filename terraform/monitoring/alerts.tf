# What people are told, and where they read what to do: every policy has a
# playbook of its name in docs/playbooks.

resource "google_monitoring_notification_channel" "email" {
  for_each = toset(var.emails)

  display_name = "Litterloop: ${each.value}"
  type         = "email"
  labels       = { email_address = each.value }
}

locals {
  services = "${var.detector}|${var.tracking}"
  requests = "run_googleapis_com:request_count{monitored_resource=\"cloud_run_revision\""

  # Conditions in Prometheus' language, by policy.
  queries = merge(
    {
      ErrorRate = {
        severity = "ERROR"
        subject  = "Requests fail"
        query    = "sum by (service_name) (rate(${local.requests},service_name=~\"${local.services}\",response_code_class=\"5xx\"}[10m])) / sum by (service_name) (rate(${local.requests},service_name=~\"${local.services}\"}[10m])) > ${var.error_share}"
        duration = "300s"
      }
      Latency = {
        severity = "WARNING"
        subject  = "Detections are slow"
        query    = "histogram_quantile(0.95, sum by (le) (rate(run_googleapis_com:request_latencies_bucket{monitored_resource=\"cloud_run_revision\",service_name=\"${var.detector}\"}[10m]))) > ${var.slow_ms}"
        duration = "600s"
      }
      DeadLetters = {
        severity = "ERROR"
        subject  = "Events were given up"
        query    = "max(pubsub_googleapis_com:subscription_num_undelivered_messages{monitored_resource=\"pubsub_subscription\",subscription_id=\"dead-letters\"}) > 0"
        duration = "60s"
      }
      # The absence of success, not the presence of errors: a loop that does
      # nothing makes none.
      LoopStalled = {
        severity = "ERROR"
        subject  = "No drift check has succeeded where one was due"
        query    = "(sum(increase(${local.requests},service_name=\"drift\",response_code_class=\"2xx\"}[${var.drift_hours}h])) or vector(0)) < 1"
        duration = "3600s"
      }
      EventsWait = {
        severity = "ERROR"
        subject  = "An event waits for a function that does not get on"
        query    = "max by (subscription_id) (pubsub_googleapis_com:subscription_oldest_unacked_message_age{monitored_resource=\"pubsub_subscription\",subscription_id=~\"${join("|", var.subscriptions)}\"}) > ${var.waiting_seconds}"
        duration = "300s"
      }
      Reported = {
        severity = "WARNING"
        subject  = "The loop has something to say"
        query    = "sum(increase(pubsub_googleapis_com:topic_send_message_operation_count{monitored_resource=\"pubsub_topic\",topic_id=\"alerts\"}[10m])) > 0"
        duration = "0s"
      }
    },
    var.detector_metrics ? {
      LogLoss = {
        severity = "WARNING"
        subject  = "Predictions are missing from the log"
        query    = "sum(increase(litterloop_log_dropped_total[1h])) > 0"
        duration = "0s"
      }
    } : {},
  )

  playbook = { for name in concat(keys(local.queries), ["Drift", "Down", "CostBudget"]) : name => "${var.playbooks}/${name}.md" }
}

resource "google_monitoring_alert_policy" "query" {
  for_each = local.queries

  display_name          = "Litterloop ${each.key}: ${each.value.subject}"
  combiner              = "OR"
  severity              = each.value.severity
  notification_channels = [for c in google_monitoring_notification_channel.email : c.id]
  user_labels           = var.labels

  conditions {
    display_name = each.value.subject
    condition_prometheus_query_language {
      query               = each.value.query
      duration            = each.value.duration
      evaluation_interval = "60s"
      # Before the first photo some of these metrics do not exist.
      disable_metric_validation = true
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = "What to do: [${each.key}](${local.playbook[each.key]})"
  }

  alert_strategy {
    auto_close = "86400s"
  }
}

# The drift function writes down each check; one that found drift is told of.
resource "google_monitoring_alert_policy" "drift" {
  display_name          = "Litterloop Drift: What the detector sees has changed"
  combiner              = "OR"
  severity              = "WARNING"
  notification_channels = [for c in google_monitoring_notification_channel.email : c.id]
  user_labels           = var.labels

  conditions {
    display_name = "A check found drift"
    condition_matched_log {
      filter = "resource.type=\"cloud_run_revision\" AND resource.labels.service_name=\"drift\" AND jsonPayload.message=\"drift checked\" AND jsonPayload.outcome=\"drift\""
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = "What to do: [Drift](${local.playbook["Drift"]})"
  }

  alert_strategy {
    auto_close = "86400s"
    # Drift lasts: once a day is enough.
    notification_rate_limit {
      period = "86400s"
    }
  }
}
