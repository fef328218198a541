terraform {
  required_version = ">= 1.9"

  required_providers {
    google = {
      source = "hashicorp/google"
      # What this root was applied with, and what it was checked against.
      version = ">= 7.45, < 9"
    }
  }

  # `litterloop init` makes the bucket and writes its name to envs/PROJECT.backend:
  #   terraform init -backend-config=envs/PROJECT.backend
  backend "gcs" {
    prefix = "litterloop"
  }
}

provider "google" {
  project = var.project
  region  = var.region
}
