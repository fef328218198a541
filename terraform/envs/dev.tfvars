# A team's trial project: small, and gone with `litterloop destroy`.
detector      = { max_instances = 3 }
retention     = { log_days = 30, photo_days = 7, version_days = 7, soft_days = 0, ledger_days = 0 }
force_destroy = true
