# A bucket that nobody can open to the world, whose replaced and deleted objects
# can be got back for a while.

resource "google_storage_bucket" "this" {
  name                        = var.name
  location                    = var.location
  storage_class               = "STANDARD"
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = var.force_destroy
  labels                      = var.labels

  versioning {
    # Under a retention policy nothing is replaced: there is nothing to keep versions of.
    enabled = var.version_days != null
  }

  soft_delete_policy {
    retention_duration_seconds = var.soft_days * 86400
  }

  dynamic "retention_policy" {
    for_each = var.retention_days == null ? [] : [var.retention_days]
    content {
      retention_period = tostring(retention_policy.value * 86400)
      is_locked        = var.retention_lock
    }
  }

  dynamic "encryption" {
    for_each = var.kms_key == "" ? [] : [var.kms_key]
    content {
      default_kms_key_name = encryption.value
    }
  }

  # What an upload that broke off left behind costs money and shows nowhere.
  lifecycle_rule {
    action {
      type = "AbortIncompleteMultipartUpload"
    }
    condition {
      age = 7
    }
  }

  dynamic "lifecycle_rule" {
    for_each = var.version_days == null ? [] : [var.version_days]
    content {
      action {
        type = "Delete"
      }
      condition {
        days_since_noncurrent_time = lifecycle_rule.value
        with_state                 = "ARCHIVED"
      }
    }
  }

  dynamic "lifecycle_rule" {
    for_each = var.newer_versions == null ? [] : [var.newer_versions]
    content {
      action {
        type = "Delete"
      }
      condition {
        num_newer_versions = lifecycle_rule.value
        with_state         = "ARCHIVED"
      }
    }
  }

  dynamic "lifecycle_rule" {
    for_each = var.delete_days
    content {
      action {
        type = "Delete"
      }
      condition {
        age            = lifecycle_rule.value
        matches_prefix = [lifecycle_rule.key]
        with_state     = "LIVE"
      }
    }
  }
}
