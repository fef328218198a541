# The buckets of the loop, and which of them tell of new objects.

locals {
  bucket_names = {
    for part in ["incoming", "datasets", "models", "predictions", "ledger", "source"] : part => "${var.project}-${part}"
  }
}

# What people drop: BATCH/annotations.json and photos.
module "incoming" {
  source        = "./modules/bucket"
  name          = local.bucket_names.incoming
  location      = var.region
  version_days  = var.retention.version_days
  soft_days     = var.retention.soft_days
  kms_key       = var.kms_key
  force_destroy = var.force_destroy
  labels        = local.labels
  depends_on    = [google_project_service.api, google_kms_crypto_key_iam_member.agent]
}

# Versions of the data set, as a DVC remote.
module "datasets" {
  source        = "./modules/bucket"
  name          = local.bucket_names.datasets
  location      = var.region
  version_days  = var.retention.version_days
  soft_days     = var.retention.soft_days
  kms_key       = var.kms_key
  force_destroy = var.force_destroy
  labels        = local.labels
  depends_on    = [google_project_service.api, google_kms_crypto_key_iam_member.agent]
}

# Runs, the registry, model packages, litterloop.yaml.
module "models" {
  source   = "./modules/bucket"
  name     = local.bucket_names.models
  location = var.region
  # Its documents are written often: a few replaced versions of each are plenty.
  version_days   = var.retention.version_days
  newer_versions = 10
  soft_days      = var.retention.soft_days
  kms_key        = var.kms_key
  force_destroy  = var.force_destroy
  labels         = local.labels
  depends_on     = [google_project_service.api, google_kms_crypto_key_iam_member.agent]
}

# The prediction log, sampled photos, feedback, drift reports.
module "predictions" {
  source       = "./modules/bucket"
  name         = local.bucket_names.predictions
  location     = var.region
  version_days = var.retention.version_days
  soft_days    = var.retention.soft_days
  # feedback/ and reports/ stay: they are small, and what people said is not made again.
  delete_days = {
    "log/"    = var.retention.log_days
    "photos/" = var.retention.photo_days
  }
  kms_key       = var.kms_key
  force_destroy = var.force_destroy
  labels        = local.labels
  depends_on    = [google_project_service.api, google_kms_crypto_key_iam_member.agent]
}

# Every decision to train or not. A bucket of its own, because a retention
# policy holds for a whole bucket and other documents are rewritten.
module "ledger" {
  source         = "./modules/bucket"
  name           = local.bucket_names.ledger
  location       = var.region
  version_days   = null # a bucket with a retention policy replaces nothing
  soft_days      = var.retention.soft_days
  retention_days = var.retention.ledger_days == 0 ? null : var.retention.ledger_days
  retention_lock = var.retention.ledger_lock
  kms_key        = var.kms_key
  force_destroy  = var.force_destroy
  labels         = local.labels
  depends_on     = [google_project_service.api, google_kms_crypto_key_iam_member.agent]
}

# The functions' source.
module "source" {
  source        = "./modules/bucket"
  name          = local.bucket_names.source
  location      = var.region
  version_days  = var.retention.version_days
  soft_days     = 0 # it can be made again from the commit
  kms_key       = var.kms_key
  force_destroy = true
  labels        = local.labels
  depends_on    = [google_project_service.api, google_kms_crypto_key_iam_member.agent]
}

resource "google_storage_bucket_object" "functions" {
  bucket = module.source.name
  # By its content: the same source is the same object, and a function is built
  # again when, and only when, its source differs.
  name   = "functions/${filesha256(var.function_source)}.zip"
  source = var.function_source
}

resource "google_storage_notification" "incoming" {
  bucket         = module.incoming.name
  topic          = google_pubsub_topic.topic["incoming-objects"].id
  payload_format = "JSON_API_V1"
  event_types    = ["OBJECT_FINALIZE"]
  # Cloud Storage tries the topic when the notification is made.
  depends_on = [google_pubsub_topic_iam_member.storage]
}

resource "google_storage_notification" "datasets" {
  bucket         = module.datasets.name
  topic          = google_pubsub_topic.topic["dataset-objects"].id
  payload_format = "JSON_API_V1"
  event_types    = ["OBJECT_FINALIZE"]
  # The photos of a version, in files/, wake nobody.
  object_name_prefix = "versions/"
  depends_on         = [google_pubsub_topic_iam_member.storage]
}
