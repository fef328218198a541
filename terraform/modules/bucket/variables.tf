variable "name" {
  type        = string
  description = "Name of the bucket, unique in the world."

  validation {
    condition     = can(regex("^[a-z0-9][-_a-z0-9]{1,61}[a-z0-9]$", var.name))
    error_message = "A bucket's name has 3 to 63 lower-case letters, digits, dashes and underscores."
  }
}

variable "location" {
  type        = string
  description = "Region of the bucket."
}

variable "version_days" {
  type        = number
  default     = 30
  description = "Days that replaced and deleted versions stay; null: no versions are kept."
}

variable "newer_versions" {
  type        = number
  default     = null
  description = "Versions beyond which replaced ones go even before their time; null: no limit."
}

variable "soft_days" {
  type        = number
  default     = 7
  description = "Days in which deleted objects can be restored: 7 to 90, or 0."

  validation {
    condition     = var.soft_days == 0 || (var.soft_days >= 7 && var.soft_days <= 90)
    error_message = "Cloud Storage keeps deleted objects 7 to 90 days, or 0: not at all."
  }
}

variable "retention_days" {
  type        = number
  default     = null
  description = "Days in which no object can be replaced or deleted; null: none."

  validation {
    condition     = var.retention_days == null || var.version_days == null
    error_message = "Under a retention policy nothing is replaced: set version_days to null."
  }
}

variable "retention_lock" {
  type        = bool
  default     = false
  description = "Lock the retention policy, which cannot be undone."
}

variable "delete_days" {
  type        = map(number)
  default     = {}
  description = "Days after which objects are deleted, by prefix of their name."

  validation {
    condition     = alltrue([for prefix, days in var.delete_days : days >= 1 && prefix != ""])
    error_message = "Give a prefix and at least one day: an empty prefix would delete everything."
  }
}

variable "kms_key" {
  type        = string
  default     = ""
  description = "Cloud KMS key; empty: Google's own."
}

variable "force_destroy" {
  type        = bool
  default     = false
  description = "Delete the bucket with what is in it."
}

variable "labels" {
  type        = map(string)
  default     = {}
  description = "Labels of the bucket."
}
