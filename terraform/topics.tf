# The topics that the parts meet on. docs/events.md says what travels.

locals {
  # Constants of shared/bus, which the programs publish to by name.
  topics = ["incoming-objects", "dataset-objects", "train", "register", "deploy", "retrain", "alerts", "dead-letters"]

  # What people read with `litterloop events`.
  read_by_people = ["alerts", "dead-letters"]
}

resource "google_pubsub_topic" "topic" {
  for_each = toset(local.topics)

  name         = each.value
  kms_key_name = var.kms_key == "" ? null : var.kms_key
  labels       = local.labels
  # Long enough to seek back over a weekend after a function lost its mind.
  message_retention_duration = "604800s"

  dynamic "message_storage_policy" {
    # Photos' names are in the events: inside a perimeter they stay in the region.
    for_each = var.vpc_connector == "" ? [] : [1]
    content {
      allowed_persistence_regions = [var.region]
    }
  }
  depends_on = [google_project_service.api, google_kms_crypto_key_iam_member.agent]
}

# Cloud Storage publishes its notifications as its own account.
resource "google_pubsub_topic_iam_member" "storage" {
  for_each = toset(["incoming-objects", "dataset-objects"])

  topic  = google_pubsub_topic.topic[each.value].name
  role   = "roles/pubsub.publisher"
  member = data.google_storage_project_service_account.storage.member
}

# Dead-lettering is done by Pub/Sub's account: without this grant, and that on
# each subscription, a message is neither delivered nor kept aside.
resource "google_pubsub_topic_iam_member" "dead_letters" {
  topic  = google_pubsub_topic.topic["dead-letters"].name
  role   = "roles/pubsub.publisher"
  member = local.pubsub_agent
}

resource "google_pubsub_subscription" "people" {
  for_each = toset(local.read_by_people)

  name                 = each.value
  topic                = google_pubsub_topic.topic[each.value].id
  ack_deadline_seconds = 60
  # Pub/Sub's longest: people take holidays.
  message_retention_duration = "2678400s"
  labels                     = local.labels

  # With any finite time an unread subscription disappears without a word.
  expiration_policy {
    ttl = ""
  }
}
