# Who may do what: one account for each part, and exactly its rights. A test
# holds docs/security.md to this table; another that no program lacks a bucket
# or a topic that it uses.

locals {
  rights = {
    convert = [
      { to = "bucket", of = "incoming", role = "roles/storage.objectViewer" },
      { to = "bucket", of = "incoming", role = "roles/storage.objectUser", under = "rejected/" },
      { to = "bucket", of = "datasets", role = "roles/storage.objectUser" },
      { to = "bucket", of = "models", role = "roles/storage.objectViewer" },
      { to = "topic", of = "alerts", role = "roles/pubsub.publisher" },
      { to = "project", of = "", role = "roles/cloudtrace.agent" },
      { to = "project", of = "", role = "roles/monitoring.metricWriter" },
    ]
    validate = [
      { to = "bucket", of = "datasets", role = "roles/storage.objectUser" },
      { to = "bucket", of = "models", role = "roles/storage.objectViewer" },
      { to = "bucket", of = "predictions", role = "roles/storage.objectUser" },
      { to = "bucket", of = "ledger", role = "roles/storage.objectCreator" },
      { to = "bucket", of = "ledger", role = "roles/storage.objectViewer" },
      { to = "topic", of = "train", role = "roles/pubsub.publisher" },
      { to = "topic", of = "retrain", role = "roles/pubsub.publisher" },
      { to = "topic", of = "alerts", role = "roles/pubsub.publisher" },
      { to = "project", of = "", role = "roles/cloudtrace.agent" },
      { to = "project", of = "", role = "roles/monitoring.metricWriter" },
    ]
    train = [
      { to = "bucket", of = "models", role = "roles/storage.objectUser" },
      { to = "topic", of = "register", role = "roles/pubsub.publisher" },
      { to = "topic", of = "alerts", role = "roles/pubsub.publisher" },
      { to = "job", of = "trainer", role = "roles/run.jobsExecutorWithOverrides" },
      { to = "job", of = "trainer-ultralytics", role = "roles/run.jobsExecutorWithOverrides" },
      { to = "account", of = "trainer", role = "roles/iam.serviceAccountUser" },
      { to = "project", of = "", role = "roles/aiplatform.user" },
      { to = "project", of = "", role = "roles/run.viewer" },
      { to = "project", of = "", role = "roles/cloudtrace.agent" },
      { to = "project", of = "", role = "roles/monitoring.metricWriter" },
    ]
    register = [
      { to = "bucket", of = "models", role = "roles/storage.objectUser" },
      { to = "bucket", of = "datasets", role = "roles/storage.objectViewer" },
      { to = "bucket", of = "predictions", role = "roles/storage.objectUser" },
      { to = "bucket", of = "ledger", role = "roles/storage.objectCreator" },
      { to = "bucket", of = "ledger", role = "roles/storage.objectViewer" },
      { to = "topic", of = "deploy", role = "roles/pubsub.publisher" },
      { to = "topic", of = "train", role = "roles/pubsub.publisher" },
      { to = "topic", of = "retrain", role = "roles/pubsub.publisher" },
      { to = "topic", of = "alerts", role = "roles/pubsub.publisher" },
      { to = "job", of = "trainer", role = "roles/run.jobsExecutorWithOverrides" },
      { to = "job", of = "trainer-ultralytics", role = "roles/run.jobsExecutorWithOverrides" },
      { to = "account", of = "trainer", role = "roles/iam.serviceAccountUser" },
      { to = "project", of = "", role = "roles/aiplatform.user" },
      { to = "project", of = "", role = "roles/run.viewer" },
      { to = "project", of = "", role = "roles/cloudtrace.agent" },
      { to = "project", of = "", role = "roles/monitoring.metricWriter" },
    ]
    deploy = [
      { to = "bucket", of = "models", role = "roles/storage.objectUser" },
      { to = "topic", of = "alerts", role = "roles/pubsub.publisher" },
      { to = "service", of = "detector", role = "roles/run.developer" },
      { to = "service", of = "detector", role = "roles/run.invoker" },
      { to = "account", of = "detector", role = "roles/iam.serviceAccountUser" },
      { to = "repository", of = "litterloop", role = "roles/artifactregistry.reader" },
      { to = "project", of = "", role = "roles/run.viewer" },
      { to = "project", of = "", role = "roles/monitoring.viewer" },
      { to = "project", of = "", role = "roles/cloudtrace.agent" },
      { to = "project", of = "", role = "roles/monitoring.metricWriter" },
    ]
    drift = [
      { to = "bucket", of = "models", role = "roles/storage.objectViewer" },
      { to = "bucket", of = "datasets", role = "roles/storage.objectViewer" },
      { to = "bucket", of = "predictions", role = "roles/storage.objectUser" },
      { to = "bucket", of = "ledger", role = "roles/storage.objectCreator" },
      { to = "bucket", of = "ledger", role = "roles/storage.objectViewer" },
      { to = "topic", of = "train", role = "roles/pubsub.publisher" },
      { to = "topic", of = "retrain", role = "roles/pubsub.publisher" },
      { to = "topic", of = "alerts", role = "roles/pubsub.publisher" },
      { to = "project", of = "", role = "roles/cloudtrace.agent" },
      { to = "project", of = "", role = "roles/monitoring.metricWriter" },
    ]
    trainer = [
      { to = "bucket", of = "datasets", role = "roles/storage.objectViewer" },
      { to = "bucket", of = "models", role = "roles/storage.objectUser" },
      { to = "topic", of = "register", role = "roles/pubsub.publisher" },
      { to = "service", of = "tracking", role = "roles/run.invoker" },
      { to = "project", of = "", role = "roles/cloudtrace.agent" },
      { to = "project", of = "", role = "roles/monitoring.metricWriter" },
    ]
    detector = [
      { to = "bucket", of = "models", role = "roles/storage.objectViewer" },
      { to = "bucket", of = "predictions", role = "roles/storage.objectCreator" },
      { to = "bucket", of = "predictions", role = "roles/storage.objectViewer" },
      { to = "project", of = "", role = "roles/cloudtrace.agent" },
      { to = "project", of = "", role = "roles/monitoring.metricWriter" },
    ]
    # Beside its store it shows where the loop stands: documents, never photos.
    # Without the right to list, what is not there is refused rather than absent.
    tracking = [
      { to = "bucket", of = "models", role = "roles/storage.objectUser" },
      { to = "bucket", of = "datasets", role = "roles/storage.legacyBucketReader" },
      { to = "bucket", of = "datasets", role = "roles/storage.objectViewer", under = "batches/" },
      { to = "bucket", of = "datasets", role = "roles/storage.objectViewer", under = "versions/" },
      { to = "bucket", of = "datasets", role = "roles/storage.objectViewer", under = "current" },
      { to = "bucket", of = "predictions", role = "roles/storage.legacyBucketReader" },
      { to = "bucket", of = "predictions", role = "roles/storage.objectViewer", under = "reports/" },
      { to = "bucket", of = "ledger", role = "roles/storage.objectViewer" },
      { to = "project", of = "", role = "roles/run.viewer" },
      { to = "project", of = "", role = "roles/monitoring.viewer" },
      { to = "project", of = "", role = "roles/cloudtrace.agent" },
      { to = "project", of = "", role = "roles/monitoring.metricWriter" },
    ]
    # They sign requests, each push account to one function, the scheduler to two;
    # the grants are the functions'.
    push-convert  = []
    push-validate = []
    push-train    = []
    push-register = []
    push-deploy   = []
    scheduler     = []
    # Builds the functions' containers from their source.
    builder = [
      { to = "bucket", of = "source", role = "roles/storage.objectViewer" },
      { to = "project", of = "", role = "roles/storage.objectViewer", under = "gcf-v2-sources-" },
      { to = "repository", of = "litterloop", role = "roles/artifactregistry.writer" },
      { to = "project", of = "", role = "roles/logging.logWriter" },
    ]
    # Applies this root, and pushes images; made for delivery alone.
    delivery = [
      { to = "project", of = "", role = "roles/artifactregistry.admin" },
      { to = "project", of = "", role = "roles/cloudbuild.builds.editor" },
      { to = "project", of = "", role = "roles/cloudfunctions.admin" },
      { to = "project", of = "", role = "roles/cloudscheduler.admin" },
      { to = "project", of = "", role = "roles/iam.serviceAccountAdmin" },
      { to = "project", of = "", role = "roles/iam.serviceAccountUser" },
      { to = "project", of = "", role = "roles/iam.workloadIdentityPoolAdmin" },
      { to = "project", of = "", role = "roles/logging.logWriter" },
      { to = "project", of = "", role = "roles/monitoring.editor" },
      { to = "project", of = "", role = "roles/pubsub.admin" },
      { to = "project", of = "", role = "roles/resourcemanager.projectIamAdmin" },
      { to = "project", of = "", role = "roles/run.admin" },
      { to = "project", of = "", role = "roles/serviceusage.serviceUsageAdmin" },
      { to = "project", of = "", role = "roles/storage.admin" },
    ]
  }

  delivers = var.delivery_account || var.github_repository != ""
  accounts = { for part, rights in local.rights : part => rights if part != "delivery" || local.delivers }

  grants = merge([
    for part, rights in local.accounts : {
      for r in rights : join(" ", compact([part, r.role, r.to, r.of, try(r.under, "")])) => {
        part = part, to = r.to, of = r.of, role = r.role, under = try(r.under, "")
      }
    }
  ]...)
  # What is not there needs no grants: the larger job, trainings on Vertex AI.
  vertex_only = [for k, g in local.grants : k if g.role == "roles/aiplatform.user" || g.to == "account" && g.of == "trainer"]
  grant = { for to in ["bucket", "topic", "job", "service", "account", "repository", "project"] : to => {
    for k, g in local.grants : k => g if g.to == to && (g.of != "trainer-ultralytics" || var.ultralytics != null) && (var.vertex != null || !contains(local.vertex_only, k))
  } }
}

resource "google_service_account" "part" {
  for_each = local.accounts

  account_id   = "litterloop-${each.key}"
  display_name = "Litterloop: ${each.key}"
  depends_on   = [google_project_service.api]
}

resource "google_storage_bucket_iam_member" "grant" {
  for_each = local.grant.bucket

  bucket = {
    incoming    = module.incoming.name
    datasets    = module.datasets.name
    models      = module.models.name
    predictions = module.predictions.name
    ledger      = module.ledger.name
    source      = module.source.name
  }[each.value.of]
  role   = each.value.role
  member = google_service_account.part[each.value.part].member

  dynamic "condition" {
    for_each = each.value.under == "" ? [] : [each.value.under]
    content {
      title      = "Under ${condition.value}"
      expression = "resource.name.startsWith(\"projects/_/buckets/${local.bucket_names[each.value.of]}/objects/${condition.value}\")"
    }
  }
}

resource "google_pubsub_topic_iam_member" "grant" {
  for_each = local.grant.topic

  topic  = google_pubsub_topic.topic[each.value.of].name
  role   = each.value.role
  member = google_service_account.part[each.value.part].member
}

resource "google_cloud_run_v2_job_iam_member" "grant" {
  for_each = local.grant.job

  name     = each.value.of == "trainer" ? module.trainer.name : module.ultralytics[0].name
  location = var.region
  role     = each.value.role
  member   = google_service_account.part[each.value.part].member
}

resource "google_cloud_run_v2_service_iam_member" "grant" {
  for_each = local.grant.service

  name     = { detector = module.detector.name, tracking = module.tracking.name }[each.value.of]
  location = var.region
  role     = each.value.role
  member   = google_service_account.part[each.value.part].member
}

resource "google_service_account_iam_member" "grant" {
  for_each = local.grant.account

  service_account_id = google_service_account.part[each.value.of].name
  role               = each.value.role
  member             = google_service_account.part[each.value.part].member
}

resource "google_artifact_registry_repository_iam_member" "grant" {
  for_each = local.grant.repository

  repository = google_artifact_registry_repository.images.repository_id
  location   = var.region
  role       = each.value.role
  member     = google_service_account.part[each.value.part].member
}

resource "google_project_iam_member" "grant" {
  for_each = local.grant.project

  project = var.project
  role    = each.value.role
  member  = google_service_account.part[each.value.part].member

  dynamic "condition" {
    for_each = each.value.under == "" ? [] : [each.value.under]
    content {
      title      = "Buckets ${condition.value}"
      expression = "resource.name.startsWith(\"projects/_/buckets/${condition.value}\")"
    }
  }
}
