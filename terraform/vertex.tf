# Trainings on Vertex AI. A custom job is declared and started in one call, so
# there is nothing to make here but what the functions that start it are told.

locals {
  vertex_jobs = var.vertex == null ? {} : {
    for name in var.vertex.jobs : name => {
      image             = local.images[name]
      env               = merge(local.environment, local.telemetry, name == "trainer" ? {} : { MLFLOW_TRACKING_URI = module.tracking.uri })
      machine_type      = var.vertex.machine_type
      accelerator_type  = var.vertex.accelerator
      accelerator_count = var.vertex.accelerator_count
      replicas          = var.vertex.replicas
      boot_disk_gb      = var.vertex.boot_disk_gb
      spot              = var.vertex.spot
      timeout           = var.vertex.timeout
      service_account   = google_service_account.part["trainer"].email
      network           = var.vertex.network
      kms_key           = var.kms_key
      labels            = local.labels
    }
  }

  # Read by the functions that start trainings, beside the environment that all
  # programs share.
  launching = {
    VERTEX_JOBS = var.vertex == null ? "{}" : jsonencode({ region = coalesce(var.vertex.region, var.region), jobs = local.vertex_jobs })
  }
}
