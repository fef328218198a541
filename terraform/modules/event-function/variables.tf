variable "name" {
  type        = string
  description = "Name of the function and of its registration in loop.go."
}

variable "description" {
  type        = string
  description = "Event in -> event out."
}

variable "region" {
  type        = string
  description = "Where it runs."
}

variable "runtime" {
  type        = string
  description = "Runtime of the functions framework, such as go126."
}

variable "source_bucket" {
  type        = string
  description = "Bucket of the source."
}

variable "source_object" {
  type        = string
  description = "The source; a new name builds the function again."
}

variable "repository" {
  type        = string
  description = "Artifact Registry repository (its whole id) of the built container."
}

variable "builder" {
  type        = string
  description = "Account that builds it: projects/P/serviceAccounts/EMAIL."
}

variable "service_account" {
  type        = string
  description = "E-mail of the account that it runs as."
}

variable "invoker" {
  type = object({
    name  = string
    email = string
  })
  description = "The account that calls it, and the only one that may."
}

variable "environment" {
  type        = map(string)
  description = "Environment variables."
}

variable "triggers" {
  type        = map(string)
  default     = {}
  description = "Topics (their ids) that wake it, by the name of the subscription."
}

variable "dead_letter_topic" {
  type        = string
  description = "Id of the topic for messages that it could not handle."
}

variable "pubsub_agent" {
  type        = string
  description = "Pub/Sub's own account in the project, as an IAM member."
}

variable "delivery" {
  type = object({
    max_attempts = number
    min_backoff  = number
    max_backoff  = number
    ack_deadline = number
  })
  description = "Attempts before a message is a dead letter, and seconds."

  validation {
    condition     = var.delivery.max_attempts >= 5 && var.delivery.max_attempts <= 100
    error_message = "Pub/Sub takes 5 to 100 attempts."
  }
  validation {
    condition     = var.delivery.min_backoff >= 0 && var.delivery.max_backoff <= 600 && var.delivery.min_backoff <= var.delivery.max_backoff
    error_message = "Back-offs are 0 to 600 s, the shortest no longer than the longest."
  }
  validation {
    condition     = var.delivery.ack_deadline >= 10 && var.delivery.ack_deadline <= 600
    error_message = "An acknowledgement deadline is 10 to 600 s."
  }
}

variable "memory" {
  type        = string
  default     = "512Mi"
  description = "Memory of an instance."
}

variable "cpu" {
  type        = string
  default     = "1"
  description = "Processors of an instance; concurrency above 1 needs a whole one."
}

variable "concurrency" {
  type        = number
  default     = 8
  description = "Requests at once in an instance."

  validation {
    condition     = var.concurrency >= 1 && var.concurrency <= 1000
    error_message = "Cloud Run takes 1 to 1000 requests at once for an instance."
  }
}

variable "max_instances" {
  type        = number
  default     = 10
  description = "Instances at most: what a flood of events may cost."

  validation {
    condition     = var.max_instances >= 1 && var.max_instances <= 1000
    error_message = "A function has 1 to 1000 instances at most."
  }
}

variable "timeout" {
  type        = number
  default     = 600
  description = "Seconds for one event."

  validation {
    condition     = var.timeout >= 1 && var.timeout <= 3600
    error_message = "A function may take 1 to 3600 s."
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
  description = "Labels of the function and its subscriptions."
}
