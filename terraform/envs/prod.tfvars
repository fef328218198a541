# What serves people.
detector      = { max_instances = 20, memory = "4Gi" }
retention     = { soft_days = 30 }
uptime_checks = true
