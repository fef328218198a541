# A cloud of one machine: nothing is collected, asked from outside or kept for long.
project = "local"
images = {
  detector = "litterloop/detector"
  trainer  = "litterloop/trainer"
  tracking = "litterloop/tracking"
}
metrics_sidecar = ""
otlp_endpoint   = ""
retention       = { soft_days = 0, ledger_days = 0 }
force_destroy   = true
