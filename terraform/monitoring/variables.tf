variable "project" {
  type        = string
  description = "Id of the project."
}

variable "project_number" {
  type        = string
  description = "Number of the project, which billing knows it by."
}

variable "detector" {
  type        = string
  description = "Name of the detector's Cloud Run service."
}

variable "detector_uri" {
  type        = string
  description = "Its address."
}

variable "tracking" {
  type        = string
  description = "Name of the tracking server's Cloud Run service."
}

variable "tracking_uri" {
  type        = string
  description = "Its address."
}

variable "subscriptions" {
  type        = list(string)
  description = "Subscriptions that wake functions."
}

variable "emails" {
  type        = list(string)
  default     = []
  description = "Who is told."
}

variable "playbooks" {
  type        = string
  description = "Address of the folder with a playbook for each alert."
}

variable "detector_metrics" {
  type        = bool
  default     = true
  description = "The detector's own metrics are collected."
}

variable "uptime_checks" {
  type        = bool
  default     = false
  description = "Ask the services from outside whether they answer."
}

variable "budget" {
  type = object({
    billing_account = string
    monthly         = number
    currency        = string
  })
  default     = null
  description = "What a month may cost before people are told."
}

variable "error_share" {
  type        = number
  default     = 0.05
  description = "Share of a service's answers that may be errors of its own."

  validation {
    condition     = var.error_share > 0 && var.error_share < 1
    error_message = "A share is between 0 and 1."
  }
}

variable "slow_ms" {
  type        = number
  default     = 2000
  description = "Milliseconds that 19 in 20 detections must stay below."

  validation {
    condition     = var.slow_ms >= 10
    error_message = "Give milliseconds, at least 10."
  }
}

variable "waiting_seconds" {
  type        = number
  default     = 7200
  description = "Age of an event that nobody handled at which the loop counts as stalled."

  validation {
    condition     = var.waiting_seconds >= 60
    error_message = "Give seconds, at least 60."
  }
}

variable "drift_hours" {
  type        = number
  default     = 26
  description = "Hours in which a drift check must have succeeded: the schedule's period and some."

  validation {
    condition     = var.drift_hours >= 1 && var.drift_hours <= 168
    error_message = "Give 1 to 168 hours."
  }
}

variable "labels" {
  type        = map(string)
  default     = {}
  description = "Labels of the alert policies."
}
