# Audits each new version of the data set, and asks for training when it passes.

module "validate" {
  source      = "./modules/event-function"
  name        = "validate"
  description = "object finalized: dataset.json -> train, or an alert"

  triggers = {
    validate = google_pubsub_topic.topic["dataset-objects"].id
  }
  service_account = google_service_account.part["validate"].email
  invoker         = google_service_account.part["push-validate"]
  environment     = merge(local.environment, local.telemetry)

  memory        = try(coalesce(var.functions["validate"].memory), "2Gi")
  cpu           = try(coalesce(var.functions["validate"].cpu), "1")
  max_instances = try(coalesce(var.functions["validate"].max_instances), 4)
  concurrency   = 1

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
