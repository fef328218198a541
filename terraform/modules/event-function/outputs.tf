output "name" {
  value       = google_cloudfunctions2_function.this.name
  description = "Name of the function and of its Cloud Run service."
  # Who is told the name may call the function.
  depends_on = [google_cloud_run_v2_service_iam_member.invoker]
}

output "uri" {
  value       = google_cloudfunctions2_function.this.service_config[0].uri
  description = "Its address, for callers inside the project."
  depends_on  = [google_cloud_run_v2_service_iam_member.invoker]
}

output "subscriptions" {
  value       = [for s in google_pubsub_subscription.push : s.name]
  description = "Names of its subscriptions."
}
