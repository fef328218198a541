variable "project" {
  type        = string
  description = "Id of the Google Cloud project."

  validation {
    condition     = var.project == "local" || can(regex("^[a-z][-a-z0-9]{4,28}[a-z0-9]$", var.project)) # a cloud of one machine is "local"
    error_message = "A project id has 6 to 30 lower-case letters, digits and dashes, begins with a letter and does not end with a dash. `gcloud projects list` shows yours."
  }
}

variable "region" {
  type        = string
  default     = "europe-west1"
  description = "Where everything runs and lies."

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "Name a region such as europe-west1, not a zone or a multi-region."
  }
}

variable "model" {
  type        = string
  default     = "litter"
  description = "Name of the model that this deployment trains and serves; also the detector's Cloud Run service."

  validation {
    condition     = can(regex("^[a-z]([-a-z0-9]{0,40}[a-z0-9])?$", var.model))
    error_message = "Use at most 42 lower-case letters, digits and dashes, beginning with a letter: revisions are named after the model and its version, within Cloud Run's 63."
  }
}

variable "release" {
  type        = string
  default     = "latest"
  description = "Tag of the container images, and the version that runs and models record."

  validation {
    condition     = can(regex("^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$", var.release))
    error_message = "A release is a container image tag, such as v1.4.0 or a commit."
  }
}

variable "images" {
  type        = map(string)
  default     = {}
  description = "Images by part (detector, trainer, trainer-ultralytics, tracking) in place of this project's own at the release; the delivery pipeline gives digests."

  validation {
    condition     = length(setsubtract(keys(var.images), ["detector", "trainer", "trainer-ultralytics", "tracking"])) == 0
    error_message = "Images are those of detector, trainer, trainer-ultralytics and tracking."
  }
}

variable "placeholder_image" {
  type        = string
  default     = "us-docker.pkg.dev/cloudrun/container/hello"
  description = "What answers at the detector's address until the first model is deployed; anything that listens on PORT."
}

variable "function_source" {
  type        = string
  default     = "../build/functions.zip"
  description = "The functions' source, made by `litterloop source`."

  validation {
    condition     = fileexists(var.function_source)
    error_message = "There is no such file: make it with `litterloop source --out build/functions.zip` in the repository."
  }
}

variable "function_runtime" {
  type        = string
  default     = "go126"
  description = "Runtime of the functions: the Go release of go.mod."
}

variable "functions" {
  type = map(object({
    memory        = optional(string)
    cpu           = optional(string)
    max_instances = optional(number)
  }))
  default     = {}
  description = "Size of single functions, by name, where the defaults do not fit."

  validation {
    condition     = alltrue([for f in var.functions : try(f.max_instances >= 1 && f.max_instances <= 1000, true)])
    error_message = "A function has 1 to 1000 instances at most."
  }
}

variable "delivery" {
  type = object({
    max_attempts = optional(number, 20)
    min_backoff  = optional(number, 10)
    max_backoff  = optional(number, 600)
    ack_deadline = optional(number, 600)
  })
  default     = {}
  description = "How events are delivered: attempts before an event is a dead letter, and seconds. The defaults outlast an outage of two hours."

  # Pub/Sub refuses these too, but only in the middle of an apply.
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

variable "detector" {
  type = object({
    cpu           = optional(string, "2")
    memory        = optional(string, "2Gi")
    concurrency   = optional(number, 16)
    max_instances = optional(number, 10)
    min_instances = optional(number, 0)
    ingress       = optional(string, "INGRESS_TRAFFIC_ALL")
    invokers      = optional(list(string), [])
    public        = optional(bool, false)
    photo_buckets = optional(list(string), [])
  })
  default     = {}
  description = "The inference service. invokers are IAM members that may call it (public: everybody); photo_buckets are what gs:// photos may be read from, which its account must be allowed to."

  validation {
    condition     = can(regex("^[0-9]+(Gi|Mi)$", var.detector.memory)) && can(tonumber(var.detector.cpu))
    error_message = "Give memory such as 2Gi or 512Mi, and cpu as a number of processors in quotes."
  }

  validation {
    condition     = var.detector.concurrency >= 1 && var.detector.concurrency <= 1000
    error_message = "Cloud Run takes 1 to 1000 requests at once for an instance."
  }
  validation {
    condition     = var.detector.min_instances >= 0 && var.detector.min_instances <= var.detector.max_instances && var.detector.max_instances >= 1
    error_message = "min_instances is 0 or more, max_instances 1 or more and not less."
  }
  validation {
    condition     = contains(["INGRESS_TRAFFIC_ALL", "INGRESS_TRAFFIC_INTERNAL_ONLY", "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER"], var.detector.ingress)
    error_message = "ingress is INGRESS_TRAFFIC_ALL, INGRESS_TRAFFIC_INTERNAL_ONLY or INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER."
  }
  validation {
    condition     = alltrue([for m in var.detector.invokers : !contains(["allUsers", "allAuthenticatedUsers"], m)])
    error_message = "Opening the detector to everybody is said with public = true, so that it is seen."
  }
}

variable "tracking" {
  type = object({
    cpu           = optional(string, "1")
    memory        = optional(string, "512Mi")
    max_instances = optional(number, 4)
    invokers      = optional(list(string), [])
  })
  default     = {}
  description = "The tracking server and model registry; invokers are IAM members that may call it."

  validation {
    condition     = alltrue([for m in var.tracking.invokers : !contains(["allUsers", "allAuthenticatedUsers"], m)])
    error_message = "The registry decides what is deployed: it is never opened to everybody."
  }
}

variable "trainer" {
  type = object({
    cpu     = optional(string, "8")
    memory  = optional(string, "16Gi")
    timeout = optional(number, 86400)
    retries = optional(number, 3)
  })
  default     = {}
  description = "The embedded trainer's job; timeout in seconds of one attempt."

  validation {
    condition     = can(regex("^[0-9]+(Gi|Mi)$", var.trainer.memory)) && can(tonumber(var.trainer.cpu))
    error_message = "Give memory such as 2Gi or 512Mi, and cpu as a number of processors in quotes."
  }

  validation {
    condition     = var.trainer.timeout >= 60 && var.trainer.timeout <= 604800 && var.trainer.retries >= 0 && var.trainer.retries <= 10
    error_message = "A task runs 60 s to 7 days and is tried again at most 10 times."
  }
}

variable "ultralytics" {
  type = object({
    gpu     = optional(string, "")
    cpu     = optional(string, "8")
    memory  = optional(string, "32Gi")
    timeout = optional(number, 86400)
  })
  default     = null
  description = "Make the job for recipes of Ultralytics (AGPL-3.0, in its own container); gpu is an accelerator such as nvidia-l4, empty for none."

  validation {
    condition     = try(contains(["", "nvidia-l4", "nvidia-rtx-pro-6000"], var.ultralytics.gpu), true)
    error_message = "Cloud Run has nvidia-l4 and nvidia-rtx-pro-6000."
  }
  validation {
    # Cloud Run ends GPU tasks after an hour.
    condition     = try(var.ultralytics.gpu == "" || var.ultralytics.timeout <= 3600, true)
    error_message = "A task with a GPU may run for 3600 s at most; the training goes on from its checkpoint in the next attempt."
  }
}

variable "vertex" {
  type = object({
    jobs              = optional(list(string), ["trainer-ultralytics"])
    region            = optional(string, "")
    machine_type      = optional(string, "g2-standard-8")
    accelerator       = optional(string, "NVIDIA_L4")
    accelerator_count = optional(number, 1)
    replicas          = optional(number, 1)
    boot_disk_gb      = optional(number, 100)
    spot              = optional(bool, false)
    timeout           = optional(number, 86400)
    network           = optional(string, "")
  })
  default     = null
  description = "Start these trainings as custom jobs of Vertex AI, not as Cloud Run jobs: more kinds of GPU, for longer than an hour. region is the deployment's where it is empty; of several replicas only the first trains, unless the image is one that knows what to do with CLUSTER_SPEC."

  validation {
    condition     = try(length(var.vertex.jobs) > 0 && length(setsubtract(var.vertex.jobs, ["trainer", "trainer-ultralytics"])) == 0, var.vertex == null)
    error_message = "jobs are trainer (recipes scratch and finetune) and trainer-ultralytics (recipe ultralytics)."
  }
  validation {
    condition     = try((var.vertex.accelerator == "") == (var.vertex.accelerator_count == 0) && var.vertex.accelerator_count >= 0, var.vertex == null)
    error_message = "Give an accelerator such as NVIDIA_L4 and how many a machine has, or an empty name and 0."
  }
  validation {
    condition     = try(var.vertex.replicas >= 1 && var.vertex.boot_disk_gb >= 100 && var.vertex.timeout >= 60 && var.vertex.timeout <= 604800, var.vertex == null)
    error_message = "A custom job has 1 machine or more, a disk of 100 GB or more, and runs 60 s to 7 days."
  }
  validation {
    condition     = try(var.vertex.region == "" || can(regex("^[a-z]+-[a-z]+[0-9]+$", var.vertex.region)), var.vertex == null)
    error_message = "Name a region such as europe-west4."
  }
  validation {
    # With the project's number: Vertex AI refuses its id, but only when a job starts.
    condition     = try(var.vertex.network == "" || can(regex("^projects/[0-9]+/global/networks/[^/]+$", var.vertex.network)), var.vertex == null)
    error_message = "Give the network's whole name with the project's number: projects/123456789012/global/networks/NAME."
  }
}

variable "drift_schedule" {
  type        = string
  default     = "0 4 * * *"
  description = "When to check for drift, as cron, in UTC."

  validation {
    condition     = length(split(" ", trimspace(var.drift_schedule))) == 5
    error_message = "A schedule has five fields: minute, hour, day of the month, month, day of the week."
  }
}

variable "retention" {
  type = object({
    log_days     = optional(number, 400)
    photo_days   = optional(number, 90)
    version_days = optional(number, 30)
    soft_days    = optional(number, 7)
    ledger_days  = optional(number, 400)
    ledger_lock  = optional(bool, false)
  })
  default     = {}
  description = "Days that the prediction log, its sampled photos, replaced versions, deleted objects and the ledger of decisions stay. ledger_lock cannot be undone: not even the project's owner deletes an entry before its time."

  validation {
    condition     = var.retention.soft_days == 0 || (var.retention.soft_days >= 7 && var.retention.soft_days <= 90)
    error_message = "Cloud Storage keeps deleted objects 7 to 90 days, or 0: not at all."
  }
  validation {
    condition     = min(var.retention.log_days, var.retention.photo_days, var.retention.version_days) >= 1 && var.retention.ledger_days >= 0 && var.retention.ledger_days <= 36500
    error_message = "Give whole days, at least 1; ledger_days may be 0: decisions can be deleted."
  }
}

variable "force_destroy" {
  type        = bool
  default     = false
  description = "Let `terraform destroy` delete buckets with what is in them."
}

variable "kms_key" {
  type        = string
  default     = ""
  description = "Cloud KMS key (projects/…/cryptoKeys/…) that everything at rest is encrypted with; empty: Google's own keys."

  validation {
    condition     = var.kms_key == "" || can(regex("^projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+$", var.kms_key))
    error_message = "Give the key's whole name: projects/P/locations/L/keyRings/R/cryptoKeys/K."
  }
}

variable "vpc_connector" {
  type        = string
  default     = ""
  description = "Serverless VPC connector (projects/…/connectors/…) that all outgoing traffic takes, for a VPC Service Controls perimeter; empty: none."

  validation {
    condition     = var.vpc_connector == "" || can(regex("^projects/[^/]+/locations/[^/]+/connectors/[^/]+$", var.vpc_connector))
    error_message = "Give the connector's whole name: projects/P/locations/L/connectors/C."
  }
}

variable "github_repository" {
  type        = string
  default     = ""
  description = "OWNER/NAME whose main branch may deliver, by Workload Identity Federation without keys; empty: none."

  validation {
    condition     = var.github_repository == "" || can(regex("^[A-Za-z0-9-]+/[A-Za-z0-9._-]+$", var.github_repository))
    error_message = "Give OWNER/NAME."
  }
}

variable "delivery_account" {
  type        = bool
  default     = false
  description = "Make the account that Cloud Build delivers as; a GitHub repository makes it too."
}

variable "metrics_sidecar" {
  type        = string
  default     = "us-docker.pkg.dev/cloud-ops-agents-artifacts/cloud-run-gmp-sidecar/cloud-run-gmp-sidecar:1.2.0"
  description = "Managed Prometheus' collector beside the detector, which scrapes its /metrics; empty: none, and no alert on lost log rows."
}

variable "otlp_endpoint" {
  type        = string
  default     = "https://telemetry.googleapis.com"
  description = "Where traces and the functions' metrics are pushed by OTLP; empty: nowhere."
}

variable "alert_emails" {
  type        = list(string)
  default     = []
  description = "Who is told when an alert fires."

  validation {
    condition     = alltrue([for a in var.alert_emails : can(regex("^[^@ ]+@[^@ ]+\\.[^@ ]+$", a))])
    error_message = "Give e-mail addresses."
  }
}

variable "uptime_checks" {
  type        = bool
  default     = false
  description = "Ask the services every quarter of an hour whether they answer. Each question may start an instance."
}

variable "playbooks" {
  type        = string
  default     = "https://github.com/litterloop/litterloop/blob/main/docs/playbooks"
  description = "Where alerts send people."
}

variable "budget" {
  type = object({
    billing_account = string
    monthly         = number
    currency        = optional(string, "USD")
  })
  default     = null
  description = "Tell people at 50, 90 and 100 % of this month's sum, and when it is forecast to pass; who applies needs roles/billing.costsManager."

  validation {
    condition     = try(var.budget.monthly >= 1 && can(regex("^[0-9A-F]{6}-[0-9A-F]{6}-[0-9A-F]{6}$", var.budget.billing_account)), true)
    error_message = "A budget is at least 1, on a billing account such as 012345-6789AB-CDEF01."
  }
}

variable "labels" {
  type        = map(string)
  default     = {}
  description = "Labels for everything that takes them, beside app = litterloop."
}
