mock_provider "google" {}

variables {
  name            = "trainer"
  region          = "europe-west1"
  image           = "europe-west1-docker.pkg.dev/streets/litterloop/trainer:v1"
  service_account = "litterloop-trainer@streets.iam.gserviceaccount.com"
  cpu             = "8"
  memory          = "16Gi"
  timeout         = 86400
}

run "a_job_is_one_task_on_processors" {
  command = plan

  assert {
    condition     = google_cloud_run_v2_job.this.template[0].task_count == 1 && length(google_cloud_run_v2_job.this.template[0].template[0].node_selector) == 0
    error_message = "several tasks would train the same run, or a GPU is paid for"
  }
}

run "a_gpu_is_asked_for_by_name" {
  command = plan

  variables {
    gpu     = "nvidia-l4"
    timeout = 3600
  }
  assert {
    condition     = google_cloud_run_v2_job.this.template[0].template[0].node_selector[0].accelerator == "nvidia-l4" && google_cloud_run_v2_job.this.template[0].template[0].containers[0].resources[0].limits["nvidia.com/gpu"] == "1"
    error_message = "no GPU"
  }
}

run "a_gpu_for_more_than_an_hour_is_refused" {
  command = plan

  variables {
    gpu = "nvidia-l4"
  }
  expect_failures = [var.timeout]
}

run "eleven_retries_are_refused" {
  command = plan

  variables {
    retries = 11
  }
  expect_failures = [var.retries]
}
