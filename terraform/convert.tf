# Takes each dropped photo and label file in, and makes a version of a batch that
# is complete. Photos come in bursts: instances are what limits a flood.

module "convert" {
  source      = "./modules/event-function"
  name        = "convert"
  description = "object finalized in incoming -> a data set version"

  triggers = {
    convert = google_pubsub_topic.topic["incoming-objects"].id
  }
  service_account = google_service_account.part["convert"].email
  invoker         = google_service_account.part["push-convert"]
  environment     = merge(local.environment, local.telemetry)

  memory        = try(coalesce(var.functions["convert"].memory), "1Gi")
  cpu           = try(coalesce(var.functions["convert"].cpu), "1")
  max_instances = try(coalesce(var.functions["convert"].max_instances), 20)
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
