# What a month costs, told by every plan: the same table and the same sum as
# `litterloop cost`, with the sizes of this deployment.

locals {
  prices = yamldecode(file("${path.module}/prices.yaml"))

  gib = { for part, memory in { detector = var.detector.memory, trainer = coalesce(try(var.ultralytics.memory, null), var.trainer.memory) } :
    part => endswith(memory, "Gi") ? tonumber(trimsuffix(memory, "Gi")) : tonumber(trimsuffix(memory, "Mi")) / 1024
  }
  collector = var.metrics_sidecar == "" ? 0 : 1
  factors = merge(local.prices.factors, {
    detector_cpu = tonumber(var.detector.cpu) + local.collector
    detector_gib = local.gib.detector + local.collector * 0.5
    awake_cpu    = var.detector.min_instances * tonumber(var.detector.cpu)
    awake_gib    = var.detector.min_instances * local.gib.detector
    sidecar      = local.collector
    trainer_cpu  = tonumber(coalesce(try(var.ultralytics.cpu, null), var.trainer.cpu))
    trainer_gib  = local.gib.trainer
    gpu          = try(var.ultralytics.gpu, "") == "" ? 0 : 1
    conditions   = length(module.monitoring.alerts)
  })

  monthly = { for photos in local.prices.levels : tostring(photos) => sum([
    for sku, s in local.prices.skus : s.price * max(0, sum(concat([0], [
      for u in local.prices.uses : (try(u.rest, 0) + (photos > 0 ? try(u.loop, 0) : 0) + try(u.photo, 0) * photos * 30.4) * try(local.factors[u.times], 1) if u.sku == sku
    ])) - s.free)
  ]) }
}

output "monthly_cost" {
  value       = { for photos, sum in local.monthly : photos == "0" ? "at rest" : "${photos} photos a day" => format("%.2f %s, prices of %s", sum, local.prices.currency, local.prices.date) }
  description = "What a month costs by list prices; `litterloop cost` shows what of."
}
