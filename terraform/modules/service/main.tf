# A Cloud Run service that sleeps when nobody calls, and is called only by whom
# it names.

resource "google_cloud_run_v2_service" "this" {
  name        = var.name
  location    = var.region
  description = var.description
  ingress     = var.ingress
  labels      = var.labels
  # Terraform's own lock, on by default; people ask for destruction by name.
  deletion_protection = false

  # Of the service, not of a revision: it stays Terraform's.
  scaling {
    min_instance_count = var.min_instances
    max_instance_count = var.max_instances
  }

  template {
    service_account                  = var.service_account
    timeout                          = "${var.timeout}s"
    max_instance_request_concurrency = var.concurrency
    encryption_key                   = var.kms_key == "" ? null : var.kms_key

    containers {
      # The first: whoever makes a revision replaces this one's image.
      name  = "main"
      image = var.image
      args  = var.args
      ports {
        container_port = 8080
      }
      resources {
        limits = { cpu = var.cpu, memory = var.memory }
        # Processors are paid while a request is in work, and doubled while an
        # instance starts: that is what somebody waits for.
        cpu_idle          = true
        startup_cpu_boost = true
      }
      dynamic "env" {
        for_each = var.environment
        content {
          name  = env.key
          value = env.value
        }
      }
      startup_probe {
        period_seconds    = 1
        timeout_seconds   = 1
        failure_threshold = 120
        http_get {
          path = var.ready_path
          port = 8080
        }
      }
    }

    dynamic "containers" {
      for_each = var.sidecar == "" ? [] : [var.sidecar]
      content {
        name       = "collector"
        image      = containers.value
        depends_on = ["main"]
        resources {
          limits   = { cpu = "1", memory = "512Mi" }
          cpu_idle = true
        }
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

  lifecycle {
    ignore_changes = [
      # Revisions belong to whoever rolls them out: the deploy function for
      # models, the delivery pipeline for code. Either puts the name of the
      # revision, an image and variables into the template; Terraform would
      # take them out again, or ask for another revision of a name that is
      # taken, which Cloud Run refuses. The template here is the first one's;
      # what is said of the detector later reaches its next revision through the
      # deploy function (detector_template).
      template,
      # The same two shift traffic step by step; an apply in the middle of a
      # canary would end it.
      traffic,
      # Who last called the API.
      client,
      client_version,
    ]
  }
}

resource "google_cloud_run_v2_service_iam_member" "invoker" {
  for_each = toset(var.public ? ["allUsers"] : var.invokers)

  name     = google_cloud_run_v2_service.this.name
  location = var.region
  role     = "roles/run.invoker"
  member   = each.value
}
