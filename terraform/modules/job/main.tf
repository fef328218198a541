# A Cloud Run job: one task, started by somebody's call, tried again where it
# was cut off.

resource "google_cloud_run_v2_job" "this" {
  name                = var.name
  location            = var.region
  labels              = var.labels
  deletion_protection = false

  template {
    task_count = 1
    template {
      service_account = var.service_account
      timeout         = "${var.timeout}s"
      max_retries     = var.retries
      encryption_key  = var.kms_key == "" ? null : var.kms_key

      # Zonal redundancy doubles the quota a GPU needs; a training waits.
      gpu_zonal_redundancy_disabled = var.gpu == "" ? null : true

      containers {
        image = var.image
        args  = var.args
        resources {
          limits = merge({ cpu = var.cpu, memory = var.memory }, var.gpu == "" ? {} : { "nvidia.com/gpu" = "1" })
        }
        dynamic "env" {
          for_each = var.environment
          content {
            name  = env.key
            value = env.value
          }
        }
      }

      dynamic "node_selector" {
        for_each = var.gpu == "" ? [] : [var.gpu]
        content {
          accelerator = node_selector.value
        }
      }

      dynamic "vpc_access" {
        for_each = var.vpc_connector == "" ? [] : [var.vpc_connector]
        content {
          connector = vpc_access.value
          egress    = "ALL_TRAFFIC"
        }
      }
    }
  }

  lifecycle {
    # Who last called the API.
    ignore_changes = [client, client_version]
  }
}
