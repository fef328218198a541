output "alerts" {
  value       = sort(concat(keys(local.queries), ["Drift"], var.uptime_checks ? ["Down"] : [], var.budget == null ? [] : ["CostBudget"]))
  description = "Names of what people are told of; each has a playbook."
}
