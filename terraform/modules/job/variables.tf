variable "name" {
  type        = string
  description = "Name of the job."
}

variable "region" {
  type        = string
  description = "Where it runs."
}

variable "image" {
  type        = string
  description = "Its container."
}

variable "args" {
  type        = list(string)
  default     = []
  description = "Arguments of the container; who starts the job gives others."
}

variable "environment" {
  type        = map(string)
  default     = {}
  description = "Environment variables."
}

variable "service_account" {
  type        = string
  description = "E-mail of the account that it runs as."
}

variable "cpu" {
  type        = string
  description = "Processors of the task."
}

variable "memory" {
  type        = string
  description = "Memory of the task."
}

variable "gpu" {
  type        = string
  default     = ""
  description = "Accelerator, such as nvidia-l4; empty: none."
}

variable "timeout" {
  type        = number
  description = "Seconds of one attempt."

  validation {
    condition     = var.timeout >= 60 && var.timeout <= 604800
    error_message = "A task runs 60 s to 7 days."
  }
  validation {
    condition     = var.gpu == "" || var.timeout <= 3600
    error_message = "A task with a GPU may run for 3600 s at most."
  }
}

variable "retries" {
  type        = number
  default     = 3
  description = "How often a failed attempt is repeated."

  validation {
    condition     = var.retries >= 0 && var.retries <= 10
    error_message = "A task is tried again at most 10 times."
  }
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
  description = "Labels of the job."
}
