output "detector_uri" {
  value       = module.detector.uri
  description = "Where photos are sent."
}

output "detector_service" {
  value       = module.detector.name
  description = "The detector's Cloud Run service, which bears the model's name."
}

output "tracking_uri" {
  value       = module.tracking.uri
  description = "MLFLOW_TRACKING_URI."
}

output "buckets" {
  value       = local.bucket_names
  description = "Bucket names by part; photos go to incoming."
}

output "registry" {
  value       = local.registry
  description = "Where images are pushed."
}

output "function_source" {
  value       = google_storage_bucket_object.functions.name
  description = "The source that the functions run, by its content."
}

output "workload_identity_provider" {
  value       = try(google_iam_workload_identity_pool_provider.github[0].name, null)
  description = "For google-github-actions/auth."
}

output "delivery_account" {
  value       = try(google_service_account.part["delivery"].email, null)
  description = "The account that delivers."
}
