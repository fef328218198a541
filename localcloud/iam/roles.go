package iam

import (
	"slices"
	"strings"
)

// roles are the permissions of Google's predefined roles
// (https://cloud.google.com/iam/docs/roles-permissions), of the APIs that the
// local cloud answers; the roles are those that the loop's Terraform grants. One
// that ends in ".*" stands for every permission that begins so.
var roles = map[string][]string{
	"roles/storage.objectViewer": {
		"resourcemanager.projects.get", "resourcemanager.projects.list", "storage.folders.get", "storage.folders.list",
		"storage.managedFolders.get", "storage.managedFolders.list", "storage.objects.get", "storage.objects.list",
	},
	"roles/storage.objectCreator": {
		"resourcemanager.projects.get", "resourcemanager.projects.list", "storage.folders.create", "storage.managedFolders.create",
		"storage.multipartUploads.abort", "storage.multipartUploads.create", "storage.multipartUploads.listParts",
		"storage.objects.create", "storage.objects.createContext",
	},
	"roles/storage.objectUser": {
		"resourcemanager.projects.get", "resourcemanager.projects.list", "storage.folders.create", "storage.folders.delete",
		"storage.folders.get", "storage.folders.list", "storage.folders.rename", "storage.managedFolders.create",
		"storage.managedFolders.delete", "storage.managedFolders.get", "storage.managedFolders.list",
		"storage.multipartUploads.abort", "storage.multipartUploads.create", "storage.multipartUploads.list", "storage.multipartUploads.listParts",
		"storage.objects.create", "storage.objects.delete", "storage.objects.get", "storage.objects.list",
		"storage.objects.move", "storage.objects.restore", "storage.objects.update",
	},
	"roles/storage.objectAdmin": {
		"resourcemanager.projects.get", "resourcemanager.projects.list", "storage.folders.*", "storage.managedFolders.*", "storage.multipartUploads.*", "storage.objects.*",
	},
	"roles/storage.legacyBucketReader": {"storage.buckets.get", "storage.multipartUploads.list", "storage.objects.list"},
	"roles/storage.admin": {
		"resourcemanager.projects.get", "resourcemanager.projects.list", "storage.buckets.*", "storage.folders.*", "storage.managedFolders.*", "storage.multipartUploads.*", "storage.objects.*",
	},

	"roles/pubsub.publisher":  {"pubsub.topics.publish"},
	"roles/pubsub.subscriber": {"pubsub.snapshots.seek", "pubsub.subscriptions.consume", "pubsub.topics.attachSubscription"},
	"roles/pubsub.admin":      {"pubsub.*", "resourcemanager.projects.get"},

	"roles/run.invoker":                   {"run.jobs.run", "run.routes.invoke"},
	"roles/run.jobsExecutorWithOverrides": {"run.executions.cancel", "run.jobs.run", "run.jobs.runWithOverrides"},
	"roles/run.viewer": {
		"resourcemanager.projects.get", "resourcemanager.projects.list", "run.configurations.get", "run.configurations.list",
		"run.executions.get", "run.executions.list", "run.jobs.get", "run.jobs.getIamPolicy", "run.jobs.list", "run.locations.list",
		"run.operations.get", "run.operations.list", "run.revisions.get", "run.revisions.list", "run.routes.get", "run.routes.list",
		"run.services.get", "run.services.getIamPolicy", "run.services.list", "run.tasks.get", "run.tasks.list",
	},
	"roles/run.developer": {
		"resourcemanager.projects.get", "resourcemanager.projects.list", "run.configurations.get", "run.configurations.list",
		"run.executions.cancel", "run.executions.delete", "run.executions.get", "run.executions.list",
		"run.jobs.create", "run.jobs.delete", "run.jobs.get", "run.jobs.getIamPolicy", "run.jobs.list", "run.jobs.run", "run.jobs.runWithOverrides", "run.jobs.update",
		"run.locations.list", "run.operations.delete", "run.operations.get", "run.operations.list",
		"run.revisions.delete", "run.revisions.get", "run.revisions.list", "run.routes.get", "run.routes.invoke", "run.routes.list",
		"run.services.create", "run.services.delete", "run.services.get", "run.services.getIamPolicy", "run.services.list", "run.services.update",
		"run.tasks.get", "run.tasks.list",
	},
	"roles/run.admin": {"resourcemanager.projects.get", "resourcemanager.projects.list", "run.*"},

	"roles/iam.serviceAccountUser":         {"iam.serviceAccounts.actAs", "iam.serviceAccounts.get", "iam.serviceAccounts.list", "resourcemanager.projects.get", "resourcemanager.projects.list"},
	"roles/iam.serviceAccountTokenCreator": {"iam.serviceAccounts.get", "iam.serviceAccounts.getAccessToken", "iam.serviceAccounts.getOpenIdToken", "iam.serviceAccounts.implicitDelegation", "iam.serviceAccounts.list", "iam.serviceAccounts.signBlob", "iam.serviceAccounts.signJwt"},
	"roles/iam.workloadIdentityUser":       {"iam.serviceAccounts.get", "iam.serviceAccounts.getAccessToken", "iam.serviceAccounts.getOpenIdToken", "iam.serviceAccounts.list"},
	"roles/iam.serviceAccountAdmin": {
		"iam.serviceAccounts.create", "iam.serviceAccounts.delete", "iam.serviceAccounts.disable", "iam.serviceAccounts.enable", "iam.serviceAccounts.get", "iam.serviceAccounts.getIamPolicy",
		"iam.serviceAccounts.list", "iam.serviceAccounts.setIamPolicy", "iam.serviceAccounts.undelete", "iam.serviceAccounts.update", "resourcemanager.projects.get", "resourcemanager.projects.list",
	},
	"roles/iam.workloadIdentityPoolAdmin":        {"iam.workloadIdentityPools.*", "iam.workloadIdentityPoolProviders.*", "resourcemanager.projects.get", "resourcemanager.projects.list"},
	"roles/resourcemanager.projectIamAdmin":      {"resourcemanager.projects.get", "resourcemanager.projects.getIamPolicy", "resourcemanager.projects.setIamPolicy"},
	"roles/serviceusage.serviceUsageAdmin":       {"serviceusage.services.disable", "serviceusage.services.enable", "serviceusage.services.get", "serviceusage.services.list", "serviceusage.services.use"},
	"roles/artifactregistry.reader":              artifactReader,
	"roles/artifactregistry.writer":              append(slices.Clone(artifactReader), "artifactregistry.repositories.uploadArtifacts"),
	"roles/artifactregistry.admin":               {"artifactregistry.*"},
	"roles/cloudfunctions.admin":                 {"cloudfunctions.*", "resourcemanager.projects.get", "resourcemanager.projects.list"},
	"roles/cloudscheduler.admin":                 {"cloudscheduler.*", "resourcemanager.projects.get", "resourcemanager.projects.list"},
	"roles/cloudbuild.builds.editor":             {"cloudbuild.builds.create", "cloudbuild.builds.get", "cloudbuild.builds.list", "cloudbuild.builds.update", "resourcemanager.projects.get", "resourcemanager.projects.list"},
	"roles/cloudkms.cryptoKeyEncrypterDecrypter": {"cloudkms.cryptoKeyVersions.useToDecrypt", "cloudkms.cryptoKeyVersions.useToEncrypt", "resourcemanager.projects.get"},
	"roles/aiplatform.user":                      {"aiplatform.customJobs.*", "resourcemanager.projects.get"},
	"roles/cloudtrace.agent":                     {"cloudtrace.traces.patch", "telemetry.traces.write"},
	"roles/logging.logWriter":                    {"logging.logEntries.create", "logging.logEntries.route"},
	"roles/monitoring.metricWriter":              {"monitoring.metricDescriptors.create", "monitoring.metricDescriptors.get", "monitoring.metricDescriptors.list", "monitoring.monitoredResourceDescriptors.get", "monitoring.monitoredResourceDescriptors.list", "monitoring.timeSeries.create", "telemetry.metrics.write"},
	"roles/monitoring.viewer":                    {"monitoring.alertPolicies.get", "monitoring.alertPolicies.list", "monitoring.dashboards.get", "monitoring.dashboards.list", "monitoring.notificationChannels.get", "monitoring.notificationChannels.list", "monitoring.timeSeries.list", "monitoring.uptimeCheckConfigs.get", "monitoring.uptimeCheckConfigs.list", "resourcemanager.projects.get", "resourcemanager.projects.list"},
	"roles/monitoring.editor":                    {"monitoring.*", "resourcemanager.projects.get", "resourcemanager.projects.list"},
	"roles/owner":                                {"*"},
}

var artifactReader = []string{
	"artifactregistry.dockerimages.get", "artifactregistry.dockerimages.list", "artifactregistry.files.get", "artifactregistry.files.list",
	"artifactregistry.packages.get", "artifactregistry.packages.list", "artifactregistry.repositories.downloadArtifacts",
	"artifactregistry.repositories.get", "artifactregistry.repositories.list", "artifactregistry.tags.get", "artifactregistry.tags.list",
	"artifactregistry.versions.get", "artifactregistry.versions.list",
}

// permits tells whether a role has a permission; a role that is not in the table
// has none.
func permits(role, permission string) bool {
	return slices.ContainsFunc(roles[role], func(p string) bool {
		prefix, all := strings.CutSuffix(p, "*")
		return p == permission || all && strings.HasPrefix(permission, prefix)
	})
}
