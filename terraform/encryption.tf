# A key of one's own (CMEK) for all that lies still: each of Google's accounts
# that writes it may use the key, and nobody else is given it here.

locals {
  number = data.google_project.this.number
  encrypting = {
    storage  = data.google_storage_project_service_account.storage.member
    pubsub   = local.pubsub_agent
    run      = "serviceAccount:service-${local.number}@serverless-robot-prod.iam.gserviceaccount.com"
    function = "serviceAccount:service-${local.number}@gcf-admin-robot.iam.gserviceaccount.com"
    registry = "serviceAccount:service-${local.number}@gcp-sa-artifactregistry.iam.gserviceaccount.com"
  }
}

resource "google_kms_crypto_key_iam_member" "agent" {
  for_each = var.kms_key == "" ? {} : local.encrypting

  crypto_key_id = var.kms_key
  role          = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
  member        = each.value
}
