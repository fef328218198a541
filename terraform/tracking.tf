# MLflow's tracking server and model registry, with the models bucket as its only
# store: it sleeps like everything else.

module "tracking" {
  source      = "./modules/service"
  name        = "tracking"
  description = "Runs, metrics and registered models, as MLflow's clients expect them"

  image = local.images.tracking
  args  = ["--bucket=${local.bucket_names.models}"]
  # The whole, for the page that shows where the loop stands.
  environment = merge(local.environment, local.telemetry)
  ready_path  = "/health"

  service_account = google_service_account.part["tracking"].email
  invokers        = var.tracking.invokers
  cpu             = var.tracking.cpu
  memory          = var.tracking.memory
  max_instances   = var.tracking.max_instances
  # Artifacts are sent through it.
  timeout = 3600

  region        = var.region
  vpc_connector = var.vpc_connector
  kms_key       = var.kms_key
  labels        = local.labels
  depends_on    = [google_storage_bucket_iam_member.grant, google_project_service.api, google_kms_crypto_key_iam_member.agent]
}
