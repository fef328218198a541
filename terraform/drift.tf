# Checks what the detector answered lately for drift, on a schedule, and decides
# on training.

module "drift" {
  source      = "./modules/event-function"
  name        = "drift"
  description = "the schedule -> retrain, or an alert"

  service_account = google_service_account.part["drift"].email
  invoker         = google_service_account.part["scheduler"]
  environment     = merge(local.environment, local.telemetry)

  memory        = try(coalesce(var.functions["drift"].memory), "2Gi")
  cpu           = try(coalesce(var.functions["drift"].cpu), "1")
  max_instances = try(coalesce(var.functions["drift"].max_instances), 1)
  concurrency   = 1
  timeout       = 1800

  region            = var.region
  runtime           = var.function_runtime
  source_bucket     = module.source.name
  source_object     = google_storage_bucket_object.functions.name
  repository        = google_artifact_registry_repository.images.id
  builder           = google_service_account.part["builder"].id
  dead_letter_topic = google_pubsub_topic.topic["dead-letters"].id
  pubsub_agent      = local.pubsub_agent
  delivery          = var.delivery
  vpc_connector     = var.vpc_connector
  kms_key           = var.kms_key
  labels            = local.labels
  depends_on        = [google_storage_bucket_iam_member.grant, google_project_iam_member.grant, google_artifact_registry_repository_iam_member.grant]
}

resource "google_cloud_scheduler_job" "drift" {
  name        = "drift"
  region      = var.region
  description = "Has the drift function check the last window."
  schedule    = var.drift_schedule
  time_zone   = "Etc/UTC"
  # Scheduler's longest; the function's own time is no longer.
  attempt_deadline = "1800s"

  retry_config {
    retry_count          = 3
    min_backoff_duration = "60s"
    max_backoff_duration = "600s"
  }

  http_target {
    http_method = "POST"
    uri         = module.drift.uri
    oidc_token {
      service_account_email = google_service_account.part["scheduler"].email
      audience              = module.drift.uri
    }
  }
  depends_on = [google_project_service.api]
}
