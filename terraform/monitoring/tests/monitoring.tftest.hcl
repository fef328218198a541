mock_provider "google" {}

variables {
  project        = "streets-1"
  project_number = "123456789012"
  detector       = "litter"
  detector_uri   = "https://litter-abc.a.run.app"
  tracking       = "tracking"
  tracking_uri   = "https://tracking-abc.a.run.app"
  subscriptions  = ["convert", "validate", "train", "retrain", "register", "deploy"]
  playbooks      = "https://example.com/playbooks"
  emails         = ["oncall@example.com"]
}

run "every_alert_says_where_its_playbook_is" {
  command = apply

  assert {
    condition     = alltrue([for name, p in google_monitoring_alert_policy.query : strcontains(p.documentation[0].content, "https://example.com/playbooks/${name}.md")])
    error_message = "an alert leaves people alone"
  }
}

run "every_alert_reaches_everybody_who_is_told" {
  command = apply

  assert {
    condition     = alltrue([for p in concat(values(google_monitoring_alert_policy.query), [google_monitoring_alert_policy.drift]) : length(p.notification_channels) == 1])
    error_message = "an alert reaches nobody"
  }
}

run "a_loop_that_does_nothing_is_noticed" {
  command = plan

  assert {
    condition     = strcontains(google_monitoring_alert_policy.query["LoopStalled"].conditions[0].condition_prometheus_query_language[0].query, "or vector(0)) < 1")
    error_message = "without any request there is no series, and no alert"
  }
}

run "metrics_that_do_not_exist_yet_are_no_error" {
  command = plan

  assert {
    condition     = alltrue([for p in google_monitoring_alert_policy.query : p.conditions[0].condition_prometheus_query_language[0].disable_metric_validation])
    error_message = "a first apply fails on a metric that nobody has written"
  }
}

run "without_the_collector_no_alert_is_blind" {
  command = plan

  variables {
    detector_metrics = false
  }
  assert {
    condition     = !contains(keys(google_monitoring_alert_policy.query), "LogLoss")
    error_message = "an alert watches what is not collected"
  }
}

run "nobody_is_asked_and_no_budget_is_set_unless_wanted" {
  command = plan

  assert {
    condition     = length(google_monitoring_uptime_check_config.service) == 0 && length(google_billing_budget.month) == 0
    error_message = "an uptime check keeps instances awake, or the budget needs rights that nobody has"
  }
}

run "uptime_checks_sign_in" {
  command = apply

  variables {
    uptime_checks = true
  }
  assert {
    condition     = alltrue([for c in google_monitoring_uptime_check_config.service : c.http_check[0].service_agent_authentication[0].type == "OIDC_TOKEN" && c.http_check[0].validate_ssl])
    error_message = "a service that is not public answers 403"
  }
}

run "a_budget_tells_before_it_is_spent" {
  command = apply

  variables {
    budget = { billing_account = "012345-6789AB-CDEF01", monthly = 100, currency = "EUR" }
  }
  assert {
    condition     = toset([for r in google_billing_budget.month[0].threshold_rules : r.threshold_percent]) == toset([0.5, 0.9, 1])
    error_message = "people are told too late"
  }
}

run "four_dashboards" {
  command = plan

  assert {
    condition     = toset(keys(google_monitoring_dashboard.charts)) == toset(["service", "loop", "model", "cost"])
    error_message = "a dashboard is missing"
  }
}
