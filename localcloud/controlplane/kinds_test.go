package controlplane_test

import (
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// first is the first call by which the provider makes, or reads, a resource of
// each type that the loop's own root declares; what is sent is not the point here.
var first = map[string]string{
	"google_artifact_registry_repository":            "POST /artifactregistry/v1/projects/p/locations/l/repositories?repository_id=r",
	"google_artifact_registry_repository_iam_member": "GET /artifactregistry/v1/projects/p/locations/l/repositories/r:getIamPolicy",
	"google_billing_budget":                          "POST /billingbudgets/v1/billingAccounts/1/budgets",
	"google_cloud_run_v2_job":                        "POST /run/v2/projects/p/locations/l/jobs?jobId=j",
	"google_cloud_run_v2_job_iam_member":             "GET /run/v2/projects/p/locations/l/jobs/j:getIamPolicy",
	"google_cloud_run_v2_service":                    "POST /run/v2/projects/p/locations/l/services?serviceId=s",
	"google_cloud_run_v2_service_iam_member":         "GET /run/v2/projects/p/locations/l/services/s:getIamPolicy",
	"google_cloud_scheduler_job":                     "POST /cloudscheduler/v1/projects/p/locations/l/jobs",
	"google_cloudfunctions2_function":                "POST /cloudfunctions/v2/projects/p/locations/l/functions?functionId=f",
	"google_iam_workload_identity_pool":              "POST /iam/v1/projects/p/locations/global/workloadIdentityPools?workloadIdentityPoolId=w",
	"google_iam_workload_identity_pool_provider":     "POST /iam/v1/projects/p/locations/global/workloadIdentityPools/w/providers?workloadIdentityPoolProviderId=x",
	"google_kms_crypto_key_iam_member":               "GET /cloudkms/v1/projects/p/locations/l/keyRings/k/cryptoKeys/c:getIamPolicy",
	"google_monitoring_alert_policy":                 "POST /monitoring/v3/projects/p/alertPolicies",
	"google_monitoring_dashboard":                    "POST /monitoring/v1/projects/p/dashboards",
	"google_monitoring_notification_channel":         "POST /monitoring/v3/projects/p/notificationChannels",
	"google_monitoring_uptime_check_config":          "POST /monitoring/v3/projects/p/uptimeCheckConfigs",
	"google_project":                                 "GET /cloudbilling/v1/projects/p/billingInfo",
	"google_project_iam_member":                      "POST /cloudresourcemanager/v1/projects/p:getIamPolicy",
	"google_project_service":                         "POST /serviceusage/v1/projects/p/services:batchEnable",
	"google_pubsub_subscription":                     "PUT /pubsub/v1/projects/p/subscriptions/sub",
	"google_pubsub_subscription_iam_member":          "GET /pubsub/v1/projects/p/subscriptions/sub:getIamPolicy",
	"google_pubsub_topic":                            "PUT /pubsub/v1/projects/p/topics/top",
	"google_pubsub_topic_iam_member":                 "GET /pubsub/v1/projects/p/topics/top:getIamPolicy",
	"google_service_account":                         "POST /iam/v1/projects/p/serviceAccounts",
	"google_service_account_iam_member":              "POST /iam/v1/projects/p/serviceAccounts/a@b:getIamPolicy",
	"google_storage_bucket":                          "POST /storage/v1/b?project=p",
	"google_storage_bucket_iam_member":               "GET /storage/v1/b/bucket/iam",
	"google_storage_bucket_object":                   "POST /upload/storage/v1/b/bucket/o?uploadType=media&name=o",
	"google_storage_notification":                    "POST /storage/v1/b/bucket/notificationConfigs",
	"google_storage_project_service_account":         "GET /storage/v1/projects/p/serviceAccount",
}

// Whatever type of resource the loop's root declares, the control plane knows.
func TestKinds_everyTypeOfTheRootIsServed(t *testing.T) {
	c := start(t, "p")
	declares := regexp.MustCompile(`(?m)^(?:resource|data) "(google_\w+)"`)
	types := map[string]string{}
	if err := filepath.WalkDir("../../terraform", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".tf" {
			return err
		}
		text, err := os.ReadFile(path)
		for _, m := range declares.FindAllSubmatch(text, -1) {
			types[string(m[1])] = path
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if len(types) < 20 {
		t.Fatalf("%d types of resources in the root", len(types))
	}
	for name, path := range types {
		method, url, known := strings.Cut(first[name], " ")
		if !known {
			t.Errorf("%s declares a %s: say here by which call the provider makes it, and serve that", path, name)
			continue
		}
		r, err := http.NewRequestWithContext(t.Context(), method, c.URL+url, strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode == http.StatusNotImplemented || resp.StatusCode == http.StatusMethodNotAllowed {
			t.Errorf("%s (%s): %s", name, first[name], resp.Status)
		}
	}
}

// What is not served says so, and names itself: a client does not try that again.
func TestServer_whatIsNotServedSaysSo(t *testing.T) {
	c := start(t, "p")
	for _, call := range []string{
		"GET /spanner/v1/projects/p/instances",
		"POST /logging/v2/projects/p/metrics",
		"GET /compute/v1/projects/p/zones",
		"POST /monitoring/v3/projects/p/groups",
		"POST /secretmanager/v1/projects/p/secrets/s/versions/1:destroy",
		"POST /cloudfunctions/v2/projects/p/locations/l/environments",
		"PUT /run/v2/projects/p/locations/l/services/s",
		"GET /run/v2/projects/p/locations/l/workerPools/w",
		"POST /pubsub/v1/projects/p/subscriptions/s:seek",
		"PUT /pubsub/v1/projects/p/schemas/s",
		"POST /storage/v1/b/bucket/o/o/acl",
		"POST /storage/v1/b/bucket/lockRetentionPolicy",
		"POST /serviceusage/v1/projects/p/services:batchGet",
	} {
		method, path, _ := strings.Cut(call, " ")
		r, err := http.NewRequestWithContext(t.Context(), method, c.URL+path, strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		text := make([]byte, 4096)
		n, _ := resp.Body.Read(text)
		resp.Body.Close()
		last := path[strings.LastIndex(path, "/")+1:]
		if resp.StatusCode != http.StatusNotImplemented || !strings.Contains(string(text[:n]), last) {
			t.Errorf("%s: %s %s", call, resp.Status, text[:n])
		}
	}
}
