mock_provider "google" {
  mock_resource "google_cloudfunctions2_function" {
    defaults = {
      url = "https://europe-west1-streets.cloudfunctions.net/train"
    }
  }
}

variables {
  name              = "train"
  description       = "train, retrain -> a training job"
  region            = "europe-west1"
  runtime           = "go126"
  source_bucket     = "streets-source"
  source_object     = "functions/abc.zip"
  repository        = "projects/streets/locations/europe-west1/repositories/litterloop"
  builder           = "projects/streets/serviceAccounts/litterloop-builder@streets.iam.gserviceaccount.com"
  service_account   = "litterloop-train@streets.iam.gserviceaccount.com"
  invoker           = { name = "projects/streets/serviceAccounts/litterloop-push-train@streets.iam.gserviceaccount.com", email = "litterloop-push-train@streets.iam.gserviceaccount.com" }
  environment       = { GOOGLE_CLOUD_PROJECT = "streets" }
  triggers          = { train = "projects/streets/topics/train", retrain = "projects/streets/topics/retrain" }
  dead_letter_topic = "projects/streets/topics/dead-letters"
  pubsub_agent      = "serviceAccount:service-1@gcp-sa-pubsub.iam.gserviceaccount.com"
  delivery          = { max_attempts = 20, min_backoff = 10, max_backoff = 600, ack_deadline = 600 }
}

run "a_function_sleeps_when_nothing_happens_and_is_not_reached_from_outside" {
  command = plan

  assert {
    condition     = google_cloudfunctions2_function.this.service_config[0].min_instance_count == 0
    error_message = "it never sleeps"
  }
  assert {
    condition     = google_cloudfunctions2_function.this.service_config[0].ingress_settings == "ALLOW_INTERNAL_ONLY"
    error_message = "the internet reaches it"
  }
}

run "each_topic_has_its_subscription" {
  command = apply

  assert {
    condition     = tomap({ for name, s in google_pubsub_subscription.push : name => s.topic }) == var.triggers
    error_message = "subscriptions are not those of the triggers"
  }
}

run "every_subscription_signs_backs_off_and_has_dead_letters" {
  command = apply

  assert {
    condition     = alltrue([for s in google_pubsub_subscription.push : s.dead_letter_policy[0].dead_letter_topic == var.dead_letter_topic && s.dead_letter_policy[0].max_delivery_attempts == 20])
    error_message = "a subscription has no dead letters"
  }
  assert {
    condition     = alltrue([for s in google_pubsub_subscription.push : s.push_config[0].oidc_token[0].service_account_email == var.invoker.email && s.push_config[0].oidc_token[0].audience == s.push_config[0].push_endpoint])
    error_message = "a push is not signed for the function that it goes to"
  }
  assert {
    condition     = alltrue([for s in google_pubsub_subscription.push : s.retry_policy[0].minimum_backoff == "10s" && s.retry_policy[0].maximum_backoff == "600s"])
    error_message = "a subscription does not back off"
  }
}

run "pubsub_may_move_each_subscriptions_messages_to_the_dead_letters" {
  command = apply

  assert {
    condition     = alltrue([for name, s in google_pubsub_subscription.push : google_pubsub_subscription_iam_member.dead_letters[name].member == var.pubsub_agent && google_pubsub_subscription_iam_member.dead_letters[name].role == "roles/pubsub.subscriber"])
    error_message = "the grant is missing, and dead-lettering does nothing"
  }
}

run "no_subscription_expires" {
  command = apply

  assert {
    condition     = alltrue([for s in google_pubsub_subscription.push : s.expiration_policy[0].ttl == ""])
    error_message = "a subscription disappears when nothing happens for a month"
  }
}

run "only_its_invoker_may_call_it" {
  command = apply

  assert {
    condition     = google_cloud_run_v2_service_iam_member.invoker.member == "serviceAccount:litterloop-push-train@streets.iam.gserviceaccount.com" && google_cloud_run_v2_service_iam_member.invoker.name == "train"
    error_message = "somebody else may call it, or its invoker may not"
  }
}

run "a_scheduled_function_has_no_subscription" {
  command = apply

  variables {
    triggers = {}
  }
  assert {
    condition     = length(google_pubsub_subscription.push) == 0 && length(google_service_account_iam_member.signs) == 0
    error_message = "it is pushed to"
  }
}

run "four_attempts_are_refused" {
  command = plan

  variables {
    delivery = { max_attempts = 4, min_backoff = 10, max_backoff = 600, ack_deadline = 600 }
  }
  expect_failures = [var.delivery]
}

run "a_back_off_beyond_ten_minutes_is_refused" {
  command = plan

  variables {
    delivery = { max_attempts = 20, min_backoff = 10, max_backoff = 601, ack_deadline = 600 }
  }
  expect_failures = [var.delivery]
}

run "inside_a_perimeter_all_traffic_takes_the_connector" {
  command = plan

  variables {
    vpc_connector = "projects/streets/locations/europe-west1/connectors/c"
  }
  assert {
    condition     = google_cloudfunctions2_function.this.service_config[0].vpc_connector_egress_settings == "ALL_TRAFFIC"
    error_message = "some traffic goes around the connector"
  }
}
