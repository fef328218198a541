# The project that everything lies in, and the APIs that it needs.

data "google_project" "this" {
  project_id = var.project
}

data "google_storage_project_service_account" "storage" {
  project = var.project
}

locals {
  apis = [
    "artifactregistry.googleapis.com",
    "cloudbuild.googleapis.com",
    "cloudfunctions.googleapis.com",
    "cloudresourcemanager.googleapis.com",
    "cloudscheduler.googleapis.com",
    "cloudtrace.googleapis.com",
    "iam.googleapis.com",
    "iamcredentials.googleapis.com",
    "logging.googleapis.com",
    "monitoring.googleapis.com",
    "pubsub.googleapis.com",
    "run.googleapis.com",
    "storage.googleapis.com",
    "telemetry.googleapis.com",
  ]

  labels = merge({ app = "litterloop" }, var.labels)

  # Google's own accounts, which act for the project.
  pubsub_agent = "serviceAccount:service-${data.google_project.this.number}@gcp-sa-pubsub.iam.gserviceaccount.com"

  # What every program of the loop reads; shared/setup says what each means.
  environment = {
    GOOGLE_CLOUD_PROJECT = var.project
    REGION               = var.region
    MODEL                = var.model
    INCOMING_BUCKET      = local.bucket_names.incoming
    DATASETS_BUCKET      = local.bucket_names.datasets
    MODELS_BUCKET        = local.bucket_names.models
    PREDICTIONS_BUCKET   = local.bucket_names.predictions
    LEDGER_BUCKET        = local.bucket_names.ledger
    DETECTOR_IMAGE       = local.images.detector
    DETECTOR_TEMPLATE    = local.detector_template
    TRAINER_JOB          = local.trainer_job
    LITTERLOOP_VERSION   = var.release
  }
}

locals {
  # OpenTelemetry's own library reads it; what is empty is not set.
  telemetry = { for name, value in { OTEL_EXPORTER_OTLP_ENDPOINT = var.otlp_endpoint } : name => value if value != "" }
}

resource "google_project_service" "api" {
  for_each = toset(concat(local.apis, var.budget != null ? ["billingbudgets.googleapis.com"] : [], var.vertex != null ? ["aiplatform.googleapis.com"] : []))

  project = var.project
  service = each.value
  # Something else in the project may need it.
  disable_on_destroy = false
}
