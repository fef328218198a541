output "name" {
  value       = google_cloud_run_v2_service.this.name
  description = "Name of the service."
}

output "uri" {
  value       = google_cloud_run_v2_service.this.uri
  description = "Its address."
}
