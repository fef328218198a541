# Questions from outside, signed by Monitoring's own account, which may call
# what it asks. Each can start an instance: they are asked for, not given.

locals {
  asked = var.uptime_checks ? {
    (var.detector) = { uri = var.detector_uri, path = "/healthz" }
    (var.tracking) = { uri = var.tracking_uri, path = "/health" }
  } : {}
}

resource "google_monitoring_uptime_check_config" "service" {
  for_each = local.asked

  display_name = "Litterloop ${each.key}"
  timeout      = "30s" # an instance may have to start
  period       = "900s"

  http_check {
    path         = each.value.path
    port         = 443
    use_ssl      = true
    validate_ssl = true
    service_agent_authentication {
      type = "OIDC_TOKEN"
    }
  }

  monitored_resource {
    type = "uptime_url"
    labels = {
      project_id = var.project
      host       = trimprefix(each.value.uri, "https://")
    }
  }
}

resource "google_monitoring_alert_policy" "down" {
  count = var.uptime_checks ? 1 : 0

  display_name          = "Litterloop Down: A service does not answer"
  combiner              = "OR"
  severity              = "CRITICAL"
  notification_channels = [for c in google_monitoring_notification_channel.email : c.id]
  user_labels           = var.labels

  dynamic "conditions" {
    for_each = google_monitoring_uptime_check_config.service
    content {
      display_name = "${conditions.key} does not answer"
      condition_threshold {
        filter          = "resource.type=\"uptime_url\" AND metric.type=\"monitoring.googleapis.com/uptime_check/check_passed\" AND metric.labels.check_id=\"${conditions.value.uptime_check_id}\""
        comparison      = "COMPARISON_GT"
        threshold_value = 1
        duration        = "900s"
        aggregations {
          alignment_period     = "1200s"
          per_series_aligner   = "ALIGN_NEXT_OLDER"
          cross_series_reducer = "REDUCE_COUNT_FALSE"
          group_by_fields      = ["resource.label.host"]
        }
      }
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = "What to do: [Down](${local.playbook["Down"]})"
  }
}
