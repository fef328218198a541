# Starts one training job at a time, whoever asked, and watches it.

module "train" {
  source      = "./modules/event-function"
  name        = "train"
  description = "train, retrain -> a training job"

  triggers = {
    train   = google_pubsub_topic.topic["train"].id
    retrain = google_pubsub_topic.topic["retrain"].id
  }
  service_account = google_service_account.part["train"].email
  invoker         = google_service_account.part["push-train"]
  environment     = merge(local.environment, local.telemetry, local.launching)

  memory        = try(coalesce(var.functions["train"].memory), "512Mi")
  cpu           = try(coalesce(var.functions["train"].cpu), "1")
  max_instances = try(coalesce(var.functions["train"].max_instances), 3)
  concurrency   = 8

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

# A job that dies, is cancelled or vanishes sends no event. Each call asks for the
# state of the job in flight; where none is, it reads two documents.
resource "google_cloud_scheduler_job" "watch" {
  name             = "watch"
  region           = var.region
  description      = "Has the train function look after the training in flight."
  schedule         = "*/5 * * * *"
  time_zone        = "Etc/UTC"
  attempt_deadline = "600s"

  http_target {
    http_method = "POST"
    uri         = module.train.uri
    oidc_token {
      service_account_email = google_service_account.part["scheduler"].email
      audience              = module.train.uri
    }
  }
  depends_on = [google_cloud_run_v2_service_iam_member.watch]
}

resource "google_cloud_run_v2_service_iam_member" "watch" {
  name     = module.train.name
  location = var.region
  role     = "roles/run.invoker"
  member   = google_service_account.part["scheduler"].member
}
