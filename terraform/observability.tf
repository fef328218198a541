# Alerts, dashboards, uptime checks and the budget.

module "monitoring" {
  source = "./monitoring"

  project          = var.project
  project_number   = data.google_project.this.number
  detector         = module.detector.name
  detector_uri     = module.detector.uri
  tracking         = module.tracking.name
  tracking_uri     = module.tracking.uri
  subscriptions    = sort(flatten([module.convert.subscriptions, module.validate.subscriptions, module.train.subscriptions, module.register.subscriptions, module.deploy.subscriptions]))
  emails           = var.alert_emails
  playbooks        = var.playbooks
  detector_metrics = var.metrics_sidecar != ""
  uptime_checks    = var.uptime_checks
  budget           = var.budget
  labels           = local.labels
  depends_on       = [google_project_service.api]
}

# Monitoring's own account asks the services; it is made by Monitoring when first
# needed, which these grants therefore wait for.
resource "google_cloud_run_v2_service_iam_member" "uptime" {
  for_each = var.uptime_checks ? { detector = module.detector.name, tracking = module.tracking.name } : {}

  name       = each.value
  location   = var.region
  role       = "roles/run.invoker"
  member     = "serviceAccount:service-${data.google_project.this.number}@gcp-sa-monitoring-notification.iam.gserviceaccount.com"
  depends_on = [module.monitoring]
}
