# The whole root, against a provider that answers everything.

mock_provider "google" {
  mock_data "google_project" {
    defaults = {
      number = "123456789012"
    }
  }
  mock_data "google_storage_project_service_account" {
    defaults = {
      member = "serviceAccount:service-123456789012@gs-project-accounts.iam.gserviceaccount.com"
    }
  }
  mock_resource "google_service_account" {
    defaults = {
      id     = "projects/streets-1/serviceAccounts/litterloop-part@streets-1.iam.gserviceaccount.com"
      name   = "projects/streets-1/serviceAccounts/litterloop-part@streets-1.iam.gserviceaccount.com"
      email  = "litterloop-part@streets-1.iam.gserviceaccount.com"
      member = "serviceAccount:litterloop-part@streets-1.iam.gserviceaccount.com"
    }
  }
  mock_resource "google_pubsub_topic" {
    defaults = {
      id = "projects/streets-1/topics/topic"
    }
  }
  mock_resource "google_artifact_registry_repository" {
    defaults = {
      id = "projects/streets-1/locations/europe-west1/repositories/litterloop"
    }
  }
}

variables {
  project         = "streets-1"
  function_source = "tests/functions.zip"
}

run "every_part_has_an_account_of_its_own" {
  command = plan

  assert {
    condition     = length(distinct([for a in google_service_account.part : a.account_id])) == length(google_service_account.part) && length(google_service_account.part) == 16
    error_message = "two parts share an account, or a part is missing"
  }
  assert {
    condition     = alltrue([for a in google_service_account.part : length(a.account_id) <= 30])
    error_message = "an account's id is longer than the 30 characters that IAM takes"
  }
}

run "nothing_is_public_unless_asked" {
  command = apply

  assert {
    condition     = length([for g in google_cloud_run_v2_service_iam_member.grant : g if contains(["allUsers", "allAuthenticatedUsers"], g.member)]) == 0
    error_message = "a service is open to everybody"
  }
  assert {
    condition     = length([for g in google_storage_bucket_iam_member.grant : g if contains(["allUsers", "allAuthenticatedUsers"], g.member)]) == 0
    error_message = "a bucket is open to everybody"
  }
}

run "no_part_administers_anything_but_delivery" {
  command = plan

  variables {
    delivery_account = true
  }
  assert {
    condition = length([
      for k, g in local.grants : k
      if g.part != "delivery" && (strcontains(lower(g.role), "admin") || contains(["roles/owner", "roles/editor"], g.role))
    ]) == 0
    error_message = "a part of the loop could change what it is not for"
  }
}

run "nobody_may_delete_or_replace_a_decision" {
  command = plan

  assert {
    condition     = alltrue([for g in google_storage_bucket_iam_member.grant : contains(["roles/storage.objectCreator", "roles/storage.objectViewer"], g.role) if g.bucket == "streets-1-ledger"])
    error_message = "an account may rewrite the ledger"
  }
}

run "convert_deletes_in_the_incoming_bucket_only_what_it_wrote" {
  command = plan

  assert {
    condition = alltrue([
      for g in google_storage_bucket_iam_member.grant : g.condition[0].expression == "resource.name.startsWith(\"projects/_/buckets/streets-1-incoming/objects/rejected/\")"
      if g.bucket == "streets-1-incoming" && g.role != "roles/storage.objectViewer"
    ])
    error_message = "people's photos can be deleted by a function"
  }
}

run "no_subscription_expires_and_dead_letters_wait_a_month" {
  command = plan

  assert {
    condition     = alltrue([for s in google_pubsub_subscription.people : s.expiration_policy[0].ttl == "" && s.message_retention_duration == "2678400s"])
    error_message = "what people did not read in time is gone"
  }
}

run "storage_and_pubsub_may_publish_where_they_must" {
  command = plan

  assert {
    condition     = toset(keys(google_pubsub_topic_iam_member.storage)) == toset(["incoming-objects", "dataset-objects"]) && alltrue([for g in google_pubsub_topic_iam_member.storage : g.role == "roles/pubsub.publisher"])
    error_message = "a notification cannot be published"
  }
  assert {
    condition     = google_pubsub_topic_iam_member.dead_letters.topic == "dead-letters" && google_pubsub_topic_iam_member.dead_letters.member == "serviceAccount:service-123456789012@gcp-sa-pubsub.iam.gserviceaccount.com"
    error_message = "dead letters cannot be published"
  }
}

run "only_summaries_of_versions_wake_validate" {
  command = plan

  assert {
    condition     = google_storage_notification.datasets.object_name_prefix == "versions/" && google_storage_notification.datasets.event_types == toset(["OBJECT_FINALIZE"])
    error_message = "each photo of a version wakes a function"
  }
}

run "the_source_is_named_by_its_content" {
  command = plan

  assert {
    condition     = google_storage_bucket_object.functions.name == "functions/${filesha256("tests/functions.zip")}.zip"
    error_message = "a changed source keeps its name, and functions are not built again"
  }
}

run "the_schedules_sign_for_the_functions_that_they_call" {
  command = apply

  assert {
    condition     = alltrue([for j in [google_cloud_scheduler_job.drift, google_cloud_scheduler_job.watch] : j.http_target[0].oidc_token[0].audience == j.http_target[0].uri])
    error_message = "the function will refuse the call"
  }
  assert {
    condition     = google_cloud_scheduler_job.watch.http_target[0].uri == module.train.uri && google_cloud_run_v2_service_iam_member.watch.name == module.train.name && google_cloud_run_v2_service_iam_member.watch.member == google_service_account.part["scheduler"].member
    error_message = "nobody looks after the training in flight"
  }
}

run "what_is_empty_is_not_set" {
  command = plan

  variables {
    otlp_endpoint = ""
  }
  assert {
    condition     = length(local.telemetry) == 0
    error_message = "a program is told to push to nowhere"
  }
}

run "old_images_go_and_recent_ones_stay" {
  command = plan

  assert {
    condition     = toset([for p in google_artifact_registry_repository.images.cleanup_policies : p.action]) == toset(["KEEP", "DELETE"])
    error_message = "images pile up, or all go"
  }
}

run "nothing_of_github_unless_asked" {
  command = plan

  assert {
    condition     = length(google_iam_workload_identity_pool.github) == 0 && !contains(keys(google_service_account.part), "delivery")
    error_message = "somebody outside may deliver"
  }
}

run "github_delivers_from_its_main_branch_alone" {
  command = plan

  variables {
    github_repository = "acme/streets"
  }
  assert {
    condition     = google_iam_workload_identity_pool_provider.github[0].attribute_condition == "assertion.repository == 'acme/streets' && assertion.ref == 'refs/heads/main'"
    error_message = "a fork or a pull request could deliver"
  }
}

run "ultralytics_has_a_job_of_its_own_that_functions_find_and_may_start" {
  command = plan

  variables {
    ultralytics = { gpu = "nvidia-l4", timeout = 3600 }
  }
  assert {
    condition     = module.ultralytics[0].name == "${local.environment.TRAINER_JOB}-ultralytics" && length([for g in google_cloud_run_v2_job_iam_member.grant : g if g.name == "trainer-ultralytics"]) == 2
    error_message = "functions do not find it, or may not start it"
  }
}

run "vertex_ai_is_there_when_it_is_asked_for" {
  command = apply

  variables {
    vertex = { region = "europe-west4", accelerator_count = 2, spot = true }
  }
  assert {
    condition     = jsondecode(local.launching.VERTEX_JOBS).region == "europe-west4" && jsondecode(local.launching.VERTEX_JOBS).jobs["trainer-ultralytics"].accelerator_count == 2 && length(jsondecode(local.launching.VERTEX_JOBS).jobs) == 1
    error_message = "functions are not told what to start"
  }
  assert {
    condition     = contains(keys(google_project_service.api), "aiplatform.googleapis.com") && length([for g in google_project_iam_member.grant : g if g.role == "roles/aiplatform.user"]) == 2 && length(google_service_account_iam_member.grant) == 3
    error_message = "the API is off, or functions may not start a custom job as the trainer"
  }
}

run "without_vertex_ai_nobody_has_rights_to_it" {
  command = plan

  assert {
    condition     = local.launching.VERTEX_JOBS == "{}" && length([for k, g in merge(local.grant.project, local.grant.account) : k if g.role == "roles/aiplatform.user" || g.of == "trainer"]) == 0 && !contains(keys(google_project_service.api), "aiplatform.googleapis.com")
    error_message = "rights for what nobody asked for"
  }
}

run "a_custom_job_that_vertex_ai_would_refuse_is_refused_before" {
  command = plan

  variables {
    vertex = { jobs = ["detector"], accelerator = "", replicas = 0, region = "europe", network = "projects/streets-1/global/networks/inner" }
  }
  expect_failures = [var.vertex]
}

run "a_key_of_ones_own_is_given_to_all_who_write" {
  command = plan

  variables {
    kms_key = "projects/streets-1/locations/europe-west1/keyRings/r/cryptoKeys/k"
  }
  assert {
    condition     = length(google_kms_crypto_key_iam_member.agent) == 5 && alltrue([for t in google_pubsub_topic.topic : t.kms_key_name == var.kms_key])
    error_message = "something is not encrypted with the key, or cannot be written"
  }
}

run "a_project_number_is_no_project_id" {
  command = plan
  variables {
    project = "123456789012"
  }
  expect_failures = [var.project]
}

run "a_zone_is_no_region" {
  command = plan
  variables {
    region = "europe-west1-b"
  }
  expect_failures = [var.region]
}

run "four_delivery_attempts_are_refused" {
  command = plan
  variables {
    delivery = { max_attempts = 4 }
  }
  expect_failures = [var.delivery]
}

run "a_hundred_and_one_delivery_attempts_are_refused" {
  command = plan
  variables {
    delivery = { max_attempts = 101 }
  }
  expect_failures = [var.delivery]
}

run "everybody_among_the_invokers_is_refused" {
  command = plan
  variables {
    detector = { invokers = ["allUsers"] }
  }
  expect_failures = [var.detector]
}

run "a_registry_for_everybody_is_refused" {
  command = plan
  variables {
    tracking = { invokers = ["allAuthenticatedUsers"] }
  }
  expect_failures = [var.tracking]
}

run "a_schedule_in_words_is_refused" {
  command = plan
  variables {
    drift_schedule = "every day"
  }
  expect_failures = [var.drift_schedule]
}

run "a_source_that_is_not_there_is_refused" {
  command = plan
  variables {
    function_source = "tests/nowhere.zip"
  }
  expect_failures = [var.function_source]
}

run "a_plan_tells_what_a_month_costs_as_the_command_line_does" {
  command = plan

  assert {
    condition     = { for photos, sum in local.monthly : photos => format("%.2f", sum) } == jsondecode(file("tests/cost.json"))
    error_message = "the sums differ from tests/cost.json, which `litterloop cost` is held to as well"
  }
}

run "a_gpu_and_instances_that_stay_awake_cost_more" {
  command = plan

  variables {
    detector    = { min_instances = 1 }
    ultralytics = { gpu = "nvidia-l4", timeout = 3600 }
  }
  assert {
    condition     = local.monthly["0"] > 20 && local.factors.gpu == 1
    error_message = "what costs more is not told"
  }
}
