# The training jobs. The policy's recipe says which of them a training is for.

locals {
  trainer_job = "trainer"
}

# Trains with ONNX Runtime, on processors.
module "trainer" {
  source = "./modules/job"
  name   = local.trainer_job

  image           = local.images.trainer
  environment     = merge(local.environment, local.telemetry)
  service_account = google_service_account.part["trainer"].email
  cpu             = var.trainer.cpu
  memory          = var.trainer.memory
  timeout         = var.trainer.timeout
  retries         = var.trainer.retries

  region        = var.region
  vpc_connector = var.vpc_connector
  kms_key       = var.kms_key
  labels        = local.labels
  depends_on    = [google_storage_bucket_iam_member.grant, google_project_service.api, google_kms_crypto_key_iam_member.agent]
}

# Trains with Ultralytics, on a GPU where one is named. Functions find it by the
# other job's name and -ultralytics.
module "ultralytics" {
  count  = var.ultralytics == null ? 0 : 1
  source = "./modules/job"
  name   = "${local.trainer_job}-ultralytics"

  image           = local.images["trainer-ultralytics"]
  environment     = merge(local.environment, local.telemetry, { MLFLOW_TRACKING_URI = module.tracking.uri })
  service_account = google_service_account.part["trainer"].email
  cpu             = var.ultralytics.cpu
  memory          = var.ultralytics.memory
  gpu             = var.ultralytics.gpu
  timeout         = var.ultralytics.timeout
  retries         = 10 # each goes on from the last checkpoint

  region        = var.region
  vpc_connector = var.vpc_connector
  kms_key       = var.kms_key
  labels        = local.labels
  depends_on    = [google_storage_bucket_iam_member.grant, google_project_service.api, google_kms_crypto_key_iam_member.agent]
}
