# Holds each trained model to the gate, and enters it in the registry.

module "register" {
  source      = "./modules/event-function"
  name        = "register"
  description = "register -> deploy, or an alert"

  triggers = {
    register = google_pubsub_topic.topic["register"].id
  }
  service_account = google_service_account.part["register"].email
  invoker         = google_service_account.part["push-register"]
  environment     = merge(local.environment, local.telemetry, local.launching)

  memory        = try(coalesce(var.functions["register"].memory), "512Mi")
  cpu           = try(coalesce(var.functions["register"].cpu), "1")
  max_instances = try(coalesce(var.functions["register"].max_instances), 3)
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
