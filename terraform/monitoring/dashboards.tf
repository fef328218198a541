# Four dashboards: the services, the loop, the model, what it costs.

locals {
  revision = "monitored_resource=\"cloud_run_revision\""
  pubsub   = "monitored_resource=\"pubsub_subscription\",subscription_id=~\"${join("|", var.subscriptions)}\""

  # Titles and queries, in Prometheus' language, by dashboard.
  charts = {
    service = {
      "Requests a second"       = "sum by (service_name, response_code_class) (rate(run_googleapis_com:request_count{${local.revision},service_name=~\"${local.services}\"}[5m]))"
      "Latency, 19 in 20 below" = "histogram_quantile(0.95, sum by (le, service_name) (rate(run_googleapis_com:request_latencies_bucket{${local.revision},service_name=~\"${local.services}\"}[5m])))"
      "Instances"               = "sum by (service_name, state) (run_googleapis_com:container_instance_count{${local.revision},service_name=~\"${local.services}\"})"
      "Requests in work"        = "sum(litterloop_in_flight)"
      "Seconds of a photo"      = "sum by (step) (rate(litterloop_step_seconds_sum[5m])) / sum by (step) (rate(litterloop_step_seconds_count[5m]))"
      "Predictions not logged"  = "sum(increase(litterloop_log_dropped_total[1h]))"
    }
    loop = {
      "Events handled"           = "sum by (function, outcome) (increase(litterloop_function_events_total[1h]))"
      "Hours since success"      = "(time() - max by (step) (max_over_time(litterloop_step_success_timestamp_seconds[2d]))) / 3600"
      "Oldest event that waits"  = "max by (subscription_id) (pubsub_googleapis_com:subscription_oldest_unacked_message_age{${local.pubsub}})"
      "Events that wait"         = "max by (subscription_id) (pubsub_googleapis_com:subscription_num_undelivered_messages{${local.pubsub}})"
      "Dead letters"             = "max(pubsub_googleapis_com:subscription_num_undelivered_messages{monitored_resource=\"pubsub_subscription\",subscription_id=\"dead-letters\"})"
      "Decisions on training"    = "sum by (trigger, outcome) (increase(litterloop_ledger_decisions_total[1d]))"
      "Training jobs under way"  = "sum by (job_name) (run_googleapis_com:job_running_executions{monitored_resource=\"cloud_run_job\"})"
      "Seconds to handle events" = "histogram_quantile(0.95, sum by (le, function) (rate(litterloop_function_duration_seconds_bucket[1h])))"
    }
    model = {
      "Version that serves"      = "max by (name, version, dataset) (litterloop_model_info)"
      "Objects found, by class"  = "sum by (class) (rate(litterloop_detections_total[1h]))"
      "Median confidence"        = "histogram_quantile(0.5, sum by (le) (rate(litterloop_confidence_bucket[1h])))"
      "Photos answered a second" = "sum(rate(litterloop_requests_total{code=\"200\"}[5m]))"
    }
    cost = {
      "Instance time that is paid, s/s" = "sum by (service_name) (rate(run_googleapis_com:container_billable_instance_time{${local.revision}}[1h]))"
      "Instances of training jobs"      = "sum by (job_name) (run_googleapis_com:container_instance_count{monitored_resource=\"cloud_run_job\"})"
      "Gigabytes stored, by bucket"     = "sum by (bucket_name) (storage_googleapis_com:storage_total_bytes{monitored_resource=\"gcs_bucket\"}) / 1e9"
      "Requests to storage a second"    = "sum by (bucket_name, method) (rate(storage_googleapis_com:api_request_count{monitored_resource=\"gcs_bucket\"}[1h]))"
      "Log bytes a second"              = "sum(rate(logging_googleapis_com:billing_bytes_ingested[1h]))"
      "Predictions a second"            = "sum(rate(litterloop_log_written_total[1h]))"
    }
  }
}

resource "google_monitoring_dashboard" "charts" {
  for_each = local.charts

  dashboard_json = jsonencode({
    displayName = "Litterloop: ${each.key}"
    gridLayout = {
      columns = "2"
      widgets = [for title, query in each.value : {
        title = title
        xyChart = {
          dataSets = [{
            plotType        = "LINE"
            timeSeriesQuery = { prometheusQuery = query }
          }]
        }
      }]
    }
  })
}
