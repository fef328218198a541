variable "name" {
  type        = string
  description = "Name of the service."

  validation {
    condition     = can(regex("^[a-z]([-a-z0-9]{0,47}[a-z0-9])?$", var.name))
    error_message = "A service's name has at most 49 lower-case letters, digits and dashes, and begins with a letter."
  }
}

variable "description" {
  type        = string
  description = "What it is for."
}

variable "region" {
  type        = string
  description = "Where it runs."
}

variable "image" {
  type        = string
  description = "Container of the first revision."
}

variable "args" {
  type        = list(string)
  default     = []
  description = "Arguments of the container."
}

variable "environment" {
  type        = map(string)
  default     = {}
  description = "Environment variables of the first revision."
}

variable "service_account" {
  type        = string
  description = "E-mail of the account that it runs as."
}

variable "invokers" {
  type        = list(string)
  default     = []
  description = "IAM members that may call it."
}

variable "public" {
  type        = bool
  default     = false
  description = "Let everybody call it."
}

variable "ingress" {
  type        = string
  default     = "INGRESS_TRAFFIC_ALL"
  description = "Networks that reach it; who may call is another question."
}

variable "ready_path" {
  type        = string
  default     = "/readyz"
  description = "Answers 200 once requests can be answered."
}

variable "cpu" {
  type        = string
  default     = "1"
  description = "Processors of an instance."
}

variable "memory" {
  type        = string
  default     = "512Mi"
  description = "Memory of an instance."
}

variable "concurrency" {
  type        = number
  default     = 80
  description = "Requests at once in an instance."

  validation {
    condition     = var.concurrency >= 1 && var.concurrency <= 1000
    error_message = "Cloud Run takes 1 to 1000 requests at once for an instance."
  }
}

variable "min_instances" {
  type        = number
  default     = 0
  description = "Instances that never sleep."
}

variable "max_instances" {
  type        = number
  default     = 10
  description = "Instances at most."

  validation {
    condition     = var.max_instances >= 1 && var.max_instances >= var.min_instances
    error_message = "max_instances is at least 1 and not below min_instances."
  }
}

variable "timeout" {
  type        = number
  default     = 60
  description = "Seconds for one request."

  validation {
    condition     = var.timeout >= 1 && var.timeout <= 3600
    error_message = "A request may take 1 to 3600 s."
  }
}

variable "sidecar" {
  type        = string
  default     = ""
  description = "Image of a metrics collector beside it; empty: none."
}

variable "vpc_connector" {
  type        = string
  default     = ""
  description = "Connector that all outgoing traffic takes; empty: none."
}

variable "kms_key" {
  type        = string
  default     = ""
  description = "Cloud KMS key; empty: Google's own."
}

variable "labels" {
  type        = map(string)
  default     = {}
  description = "Labels of the service."
}
