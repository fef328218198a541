mock_provider "google" {}

variables {
  name     = "streets-incoming"
  location = "europe-west1"
}

run "no_bucket_can_be_opened_to_the_world" {
  command = plan

  assert {
    condition     = google_storage_bucket.this.public_access_prevention == "enforced" && google_storage_bucket.this.uniform_bucket_level_access
    error_message = "public access is not prevented"
  }
}

run "what_is_replaced_or_deleted_can_be_got_back" {
  command = plan

  assert {
    condition     = google_storage_bucket.this.versioning[0].enabled && google_storage_bucket.this.soft_delete_policy[0].retention_duration_seconds == 604800
    error_message = "no versions, or no soft delete"
  }
  assert {
    condition     = alltrue([for r in google_storage_bucket.this.lifecycle_rule : one(r.condition).with_state == "ARCHIVED" if one(r.action).type == "Delete"])
    error_message = "a rule deletes what is live"
  }
  assert {
    condition     = !google_storage_bucket.this.force_destroy
    error_message = "it is destroyed with what is in it"
  }
}

run "live_objects_go_only_under_the_prefixes_that_are_named" {
  command = plan

  variables {
    delete_days = { "log/" = 400, "photos/" = 90 }
  }
  assert {
    condition     = { for r in google_storage_bucket.this.lifecycle_rule : one(one(r.condition).matches_prefix) => one(r.condition).age if try(length(one(r.condition).matches_prefix), 0) > 0 } == { "log/" = 400, "photos/" = 90 }
    error_message = "the rules are not those of the prefixes"
  }
}

run "a_rule_for_everything_is_refused" {
  command = plan

  variables {
    delete_days = { "" = 30 }
  }
  expect_failures = [var.delete_days]
}

run "a_ledger_keeps_what_is_in_it" {
  command = plan

  variables {
    version_days   = null
    retention_days = 400
  }
  assert {
    condition     = google_storage_bucket.this.retention_policy[0].retention_period == "34560000" && !google_storage_bucket.this.retention_policy[0].is_locked
    error_message = "no retention policy of 400 days"
  }
  assert {
    condition     = !google_storage_bucket.this.versioning[0].enabled && length(google_storage_bucket.this.lifecycle_rule) == 1
    error_message = "the ledger has versions, or rules that delete"
  }
}

run "versions_and_retention_together_are_refused" {
  command = plan

  variables {
    retention_days = 400
  }
  expect_failures = [var.retention_days]
}

run "three_days_of_soft_delete_are_refused" {
  command = plan

  variables {
    soft_days = 3
  }
  expect_failures = [var.soft_days]
}

run "a_key_of_ones_own_encrypts_it" {
  command = plan

  variables {
    kms_key = "projects/p/locations/l/keyRings/r/cryptoKeys/k"
  }
  assert {
    condition     = google_storage_bucket.this.encryption[0].default_kms_key_name == "projects/p/locations/l/keyRings/r/cryptoKeys/k"
    error_message = "the key is not used"
  }
}
