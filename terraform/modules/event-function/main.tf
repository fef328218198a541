# A function that events wake: the function, and for each of its topics a push
# subscription that signs what it sends, backs off, and keeps what nobody could
# handle. Eventarc would do the same with less: no dead letters, no prefix.

resource "google_cloudfunctions2_function" "this" {
  name         = var.name
  location     = var.region
  description  = var.description
  kms_key_name = var.kms_key == "" ? null : var.kms_key
  labels       = var.labels

  build_config {
    runtime           = var.runtime
    entry_point       = var.name
    docker_repository = var.repository
    service_account   = var.builder
    source {
      storage_source {
        bucket = var.source_bucket
        object = var.source_object
      }
    }
  }

  service_config {
    min_instance_count               = 0
    max_instance_count               = var.max_instances
    available_memory                 = var.memory
    available_cpu                    = var.cpu
    timeout_seconds                  = var.timeout
    max_instance_request_concurrency = var.concurrency
    # Pub/Sub and Scheduler of the same project count as internal.
    ingress_settings               = "ALLOW_INTERNAL_ONLY"
    all_traffic_on_latest_revision = true
    service_account_email          = var.service_account
    environment_variables          = var.environment
    vpc_connector                  = var.vpc_connector == "" ? null : var.vpc_connector
    vpc_connector_egress_settings  = var.vpc_connector == "" ? null : "ALL_TRAFFIC"
  }
}

# A function of the second generation is a Cloud Run service of the same name;
# calling it is that service's right.
resource "google_cloud_run_v2_service_iam_member" "invoker" {
  name     = google_cloudfunctions2_function.this.name
  location = var.region
  role     = "roles/run.invoker"
  member   = "serviceAccount:${var.invoker.email}"
}

resource "google_pubsub_subscription" "push" {
  for_each = var.triggers

  name                       = each.key
  topic                      = each.value
  ack_deadline_seconds       = var.delivery.ack_deadline
  message_retention_duration = "604800s"
  labels                     = var.labels

  push_config {
    push_endpoint = google_cloudfunctions2_function.this.service_config[0].uri
    oidc_token {
      service_account_email = var.invoker.email
      audience              = google_cloudfunctions2_function.this.service_config[0].uri
    }
  }

  retry_policy {
    minimum_backoff = "${var.delivery.min_backoff}s"
    maximum_backoff = "${var.delivery.max_backoff}s"
  }

  dead_letter_policy {
    dead_letter_topic     = var.dead_letter_topic
    max_delivery_attempts = var.delivery.max_attempts
  }

  # With any finite time a subscription without events disappears without a
  # word, and the loop with it.
  expiration_policy {
    ttl = ""
  }

  depends_on = [google_cloud_run_v2_service_iam_member.invoker]
}

# To move a message to the dead letters, Pub/Sub's account acknowledges it here.
resource "google_pubsub_subscription_iam_member" "dead_letters" {
  for_each = google_pubsub_subscription.push

  subscription = each.value.name
  role         = "roles/pubsub.subscriber"
  member       = var.pubsub_agent
}

# Projects from before April 2021 need it to let Pub/Sub sign its pushes.
resource "google_service_account_iam_member" "signs" {
  count = length(var.triggers) > 0 ? 1 : 0

  service_account_id = var.invoker.name
  role               = "roles/iam.serviceAccountTokenCreator"
  member             = var.pubsub_agent
}
