# The container images, ours and those that functions are built to.

locals {
  registry = "${var.region}-docker.pkg.dev/${var.project}/litterloop"
  images = merge(
    { for part in ["detector", "trainer", "trainer-ultralytics", "tracking"] : part => "${local.registry}/${part}:${var.release}" },
    var.images,
  )
}

resource "google_artifact_registry_repository" "images" {
  repository_id = "litterloop"
  location      = var.region
  format        = "DOCKER"
  description   = "Litterloop's containers"
  kms_key_name  = var.kms_key == "" ? null : var.kms_key
  labels        = local.labels

  # Revisions that can be gone back to need their images: enough of them stay.
  cleanup_policies {
    id     = "keep-recent"
    action = "KEEP"
    most_recent_versions {
      keep_count = 10
    }
  }
  cleanup_policies {
    id     = "delete-untagged"
    action = "DELETE"
    condition {
      tag_state  = "UNTAGGED"
      older_than = "604800s"
    }
  }
  cleanup_policies {
    id     = "delete-old"
    action = "DELETE"
    condition {
      tag_state  = "ANY"
      older_than = "15552000s"
    }
  }
  depends_on = [google_project_service.api, google_kms_crypto_key_iam_member.agent]
}
