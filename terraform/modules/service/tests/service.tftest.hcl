mock_provider "google" {}

variables {
  name            = "litter"
  description     = "Detects litter"
  region          = "europe-west1"
  image           = "europe-west1-docker.pkg.dev/streets/litterloop/detector:v1"
  service_account = "litterloop-detector@streets.iam.gserviceaccount.com"
}

run "a_service_sleeps_when_nobody_calls" {
  command = plan

  assert {
    condition     = google_cloud_run_v2_service.this.scaling[0].min_instance_count == 0 && google_cloud_run_v2_service.this.template[0].containers[0].resources[0].cpu_idle
    error_message = "it costs something while nobody calls"
  }
}

run "nobody_may_call_unless_named" {
  command = plan

  assert {
    condition     = length(google_cloud_run_v2_service_iam_member.invoker) == 0
    error_message = "somebody may call"
  }
}

run "everybody_may_call_when_asked_for" {
  command = plan

  variables {
    public = true
  }
  assert {
    condition     = [for m in google_cloud_run_v2_service_iam_member.invoker : m.member] == ["allUsers"]
    error_message = "not everybody may call"
  }
}

run "an_instance_starts_with_more_processors_and_is_called_once_ready" {
  command = plan

  assert {
    condition     = google_cloud_run_v2_service.this.template[0].containers[0].resources[0].startup_cpu_boost
    error_message = "no boost"
  }
  assert {
    condition     = google_cloud_run_v2_service.this.template[0].containers[0].startup_probe[0].http_get[0].path == "/readyz"
    error_message = "requests are sent before it is ready"
  }
}

run "the_collector_waits_for_what_it_collects" {
  command = plan

  variables {
    sidecar = "collector:1"
  }
  assert {
    condition     = google_cloud_run_v2_service.this.template[0].containers[1].depends_on == tolist(["main"]) && google_cloud_run_v2_service.this.template[0].containers[0].name == "main"
    error_message = "the collector is not second, or starts first"
  }
}

run "zero_requests_at_once_are_refused" {
  command = plan

  variables {
    concurrency = 0
  }
  expect_failures = [var.concurrency]
}

run "more_instances_awake_than_allowed_are_refused" {
  command = plan

  variables {
    min_instances = 5
    max_instances = 2
  }
  expect_failures = [var.max_instances]
}
