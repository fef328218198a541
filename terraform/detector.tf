# The inference service. Terraform declares it empty; each of its revisions is
# made by the deploy function, from an image and a model version.

locals {
  detector_environment = merge({
    GOOGLE_CLOUD_PROJECT = var.project
    MODELS_BUCKET        = local.bucket_names.models
    PREDICTION_LOG       = "gs://${local.bucket_names.predictions}"
    # A dash is no bucket: nothing may be read on a caller's behalf.
    PHOTO_BUCKETS = join(",", coalescelist(var.detector.photo_buckets, ["-"]))
  }, local.telemetry)

  # What revisions are made with. The service's template is left alone after the
  # first apply (modules/service says why); the deploy function lays this over it
  # at each rollout.
  detector_template = jsonencode({
    cpu         = var.detector.cpu
    memory      = var.detector.memory
    concurrency = var.detector.concurrency
    env         = local.detector_environment
  })
}

module "detector" {
  source      = "./modules/service"
  name        = var.model # the deploy function knows it by the model's name
  description = "Detects ${var.model} in photos"

  # There is no model yet, and without one a detector does not become ready.
  image       = var.placeholder_image
  environment = local.detector_environment

  service_account = google_service_account.part["detector"].email
  invokers        = var.detector.invokers
  public          = var.detector.public
  ingress         = var.detector.ingress
  cpu             = var.detector.cpu
  memory          = var.detector.memory
  concurrency     = var.detector.concurrency
  min_instances   = var.detector.min_instances
  max_instances   = var.detector.max_instances
  sidecar         = var.metrics_sidecar

  region        = var.region
  vpc_connector = var.vpc_connector
  kms_key       = var.kms_key
  labels        = local.labels
  depends_on    = [google_project_service.api, google_kms_crypto_key_iam_member.agent]
}
