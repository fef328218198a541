package cloud

import (
	"strings"
	"testing"
)

func TestMend_namesTheCommand(t *testing.T) {
	for name, c := range map[string]struct{ words, want string }{
		"no credentials":     {"Attempted to load application default credentials since neither `credentials` nor `access_token` was set in the provider block. No credentials loaded. could not find default credentials", "gcloud auth application-default login"},
		"gcloud logged out":  {"ERROR: (gcloud.builds.submit) You do not currently have an active account selected.\nPlease run:\n\n  $ gcloud auth login", "gcloud auth login --update-adc"},
		"no quota project":   {"Error 403: Your application is authenticating by using local Application Default Credentials. The cloudresourcemanager.googleapis.com API requires a quota project, which is not set by default.", "gcloud auth application-default set-quota-project streets-1"},
		"API off, by name":   {"Error 403: Cloud Run Admin API: run.googleapis.com has not been used in project 1 before or it is disabled", "gcloud services enable run.googleapis.com --project streets-1"},
		"API off":            {"Error 403: Cloud Functions API has not been used in project 1 before or it is disabled.", "litterloop init --project streets-1"},
		"permission":         {"googleapi: Error 403: Permission 'run.services.create' denied on resource", "run.services.create"},
		"storage permission": {"googleapi: Error 403: you@example.com does not have storage.buckets.create access to the Google Cloud project.", "storage.buckets.create"},
		"account of others":  {"Error 403: Permission 'iam.serviceaccounts.actAs' denied on service account", "roles/iam.serviceAccountUser"},
		"quota":              {"Error 429: Quota exceeded for quota metric 'GPUs'", "quotas?project=streets-1"},
		"half applied":       {"Error creating Topic: googleapi: Error 409: Resource already exists in the project", "terraform -chdir=terraform import -var-file=envs/streets-1.tfvars"},
		"wrong project":      {"googleapi: Error 404: The requested project was not found., notFound", "gcloud projects list"},
		"locked":             {"Error acquiring the state lock\nLock Info:\n  ID:        1700000000\n  Path: gs://b", "force-unlock 1700000000"},
		"bucket in use":      {"Error trying to delete bucket streets-1-incoming without `force_destroy` set to true", "litterloop destroy --project streets-1 --data"},
		"no state bucket":    {"Failed to get existing workspaces: querying Cloud Storage failed: storage: bucket doesn't exist", "litterloop init --project streets-1"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Mend(c.words, "streets-1"); !strings.Contains(got, c.want) {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
	if got := Mend("something else", "p"); got != "" {
		t.Errorf("nobody knows that: %q", got)
	}
}
