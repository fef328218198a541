package cloud

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Finding is one thing that was checked.
type Finding struct {
	Name string
	OK   bool
	Must bool // without it nothing can be made
	Says string
	Mend string // the command that mends it
}

// API is Google Cloud as far as it is asked before there is anything in a
// project. Bases end in a slash; they are Google's own where they are empty.
type API struct {
	Client *http.Client // signs what it sends
	// Bases, as Terraform's provider takes them from the environment.
	ResourceManager, ServiceUsage, Billing, Storage string
}

// APIFromEnv is the API that Terraform's provider would use.
func APIFromEnv(client *http.Client, getenv func(string) string) API {
	or := func(key, fallback string) string {
		if v := getenv(key); v != "" {
			return v
		}
		return fallback
	}
	return API{
		Client:          client,
		ResourceManager: or("GOOGLE_RESOURCE_MANAGER_CUSTOM_ENDPOINT", "https://cloudresourcemanager.googleapis.com/v1/"),
		ServiceUsage:    or("GOOGLE_SERVICE_USAGE_CUSTOM_ENDPOINT", "https://serviceusage.googleapis.com/v1/"),
		Billing:         or("GOOGLE_CLOUD_BILLING_CUSTOM_ENDPOINT", "https://cloudbilling.googleapis.com/v1/"),
		Storage:         or("GOOGLE_STORAGE_CUSTOM_ENDPOINT", "https://storage.googleapis.com/storage/v1/"),
	}
}

// statusError is an answer that is no success.
type statusError struct {
	Code    int
	Message string
}

func (e *statusError) Error() string { return fmt.Sprintf("%d: %s", e.Code, e.Message) }

// call sends body (nil: none) and decodes the answer into v (nil: not wanted).
func (a API) call(ctx context.Context, method, url string, body, v any) error {
	var r io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return err
		}
		r = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, url, r)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := a.Client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 10<<20))
	if err != nil {
		return err
	}
	if resp.StatusCode/100 != 2 {
		var e struct {
			Error struct{ Message string }
		}
		if json.Unmarshal(text, &e) != nil || e.Error.Message == "" {
			e.Error.Message = strings.TrimSpace(string(text))
		}
		return &statusError{resp.StatusCode, e.Error.Message}
	}
	if v == nil {
		return nil
	}
	return json.Unmarshal(text, v)
}

func code(err error) int {
	var s *statusError
	if errors.As(err, &s) {
		return s.Code
	}
	return 0
}

// bootstrap are the APIs without which Terraform cannot enable the others.
var bootstrap = []string{"cloudresourcemanager.googleapis.com", "serviceusage.googleapis.com", "iam.googleapis.com", "storage.googleapis.com", "cloudbuild.googleapis.com"}

// permissions are one of each kind that applying the root needs.
var permissions = []string{
	"artifactregistry.repositories.create", "cloudbuild.builds.create", "cloudfunctions.functions.create", "cloudscheduler.jobs.create",
	"iam.serviceAccounts.actAs", "iam.serviceAccounts.create", "iam.serviceAccounts.setIamPolicy", "monitoring.alertPolicies.create",
	"pubsub.subscriptions.create", "pubsub.topics.setIamPolicy", "resourcemanager.projects.setIamPolicy", "run.jobs.create",
	"run.services.setIamPolicy", "serviceusage.services.enable", "storage.buckets.create",
}

// CheckProject asks the project what an apply will need of it, and of who
// applies. What depends on something that is missing is not asked.
func (a API) CheckProject(ctx context.Context, project string) []Finding {
	var p struct {
		ProjectNumber  string
		LifecycleState string
	}
	err := a.call(ctx, http.MethodGet, a.ResourceManager+"projects/"+project, nil, &p)
	f := Finding{Name: "project " + project, Must: true, OK: err == nil && p.LifecycleState == "ACTIVE"}
	switch {
	case f.OK:
		f.Says = "number " + p.ProjectNumber
	case err == nil:
		f.Says, f.Mend = "is "+p.LifecycleState, "gcloud projects undelete "+project
	case strings.Contains(err.Error(), "requires a quota project"):
		f.Says, f.Mend = err.Error(), Mend(err.Error(), project)
	case strings.Contains(err.Error(), "has not been used") || strings.Contains(err.Error(), "SERVICE_DISABLED"):
		f.Says, f.Mend = err.Error(), "gcloud services enable "+join(bootstrap)+" --project "+project
	case code(err) == http.StatusForbidden || code(err) == http.StatusNotFound:
		f.Says, f.Mend = "there is none of this id that you may see", "gcloud projects list   (and then --project ID; or gcloud projects create "+project+")"
	case code(err) == http.StatusUnauthorized:
		f.Says, f.Mend = "the credentials are not valid any more", "gcloud auth application-default login"
	default:
		f.Says, f.Mend = err.Error(), "check the network, and the endpoints in the environment"
	}
	if !f.OK {
		return []Finding{f}
	}
	findings := []Finding{f, a.checkBilling(ctx, project), a.checkServices(ctx, project), a.checkPermissions(ctx, project)}
	return append(findings, a.checkBuckets(ctx, project, p.ProjectNumber)...)
}

func (a API) checkBilling(ctx context.Context, project string) Finding {
	f := Finding{Name: "billing", Must: true, Mend: "gcloud billing projects link " + project + " --billing-account ACCOUNT   (gcloud billing accounts list)"}
	var b struct {
		BillingEnabled     bool
		BillingAccountName string
	}
	err := a.call(ctx, http.MethodGet, a.Billing+"projects/"+project+"/billingInfo", nil, &b)
	switch {
	case err != nil:
		f.Says, f.Mend = err.Error(), "gcloud services enable cloudbilling.googleapis.com --project "+project
	case !b.BillingEnabled:
		f.Says = "the project has no billing account: nothing but a free tier works"
	default:
		f.OK, f.Says = true, b.BillingAccountName
	}
	return f
}

func (a API) checkServices(ctx context.Context, project string) Finding {
	f := Finding{Name: "APIs", Must: true}
	enabled, page := map[string]bool{}, ""
	for {
		var l struct {
			Services      []struct{ Name string }
			NextPageToken string
		}
		url := a.ServiceUsage + "projects/" + project + "/services?fields=services/name,nextPageToken&filter=state:ENABLED&pageSize=200"
		if page != "" {
			url += "&pageToken=" + page
		}
		if err := a.call(ctx, http.MethodGet, url, nil, &l); err != nil {
			f.Says, f.Mend = err.Error(), "gcloud services enable "+join(bootstrap)+" --project "+project
			return f
		}
		for _, s := range l.Services {
			enabled[s.Name[strings.LastIndexByte(s.Name, '/')+1:]] = true
		}
		if page = l.NextPageToken; page == "" {
			break
		}
	}
	missing := slices.DeleteFunc(slices.Clone(bootstrap), func(s string) bool { return enabled[s] })
	f.OK = len(missing) == 0
	f.Says = "those that come first are enabled; Terraform enables the others"
	if !f.OK {
		f.Says, f.Mend = "not enabled: "+join(missing), "gcloud services enable "+join(missing)+" --project "+project
	}
	return f
}

func (a API) checkPermissions(ctx context.Context, project string) Finding {
	f := Finding{Name: "permissions", Must: true, Mend: "gcloud projects add-iam-policy-binding " + project + " --member user:YOU --role roles/owner   (by an owner; `delivery` has less, see docs/security.md)"}
	var answer struct{ Permissions []string }
	err := a.call(ctx, http.MethodPost, a.ResourceManager+"projects/"+project+":testIamPermissions", map[string]any{"permissions": permissions}, &answer)
	if err != nil {
		f.Says = err.Error()
		return f
	}
	missing := slices.DeleteFunc(slices.Clone(permissions), func(p string) bool { return slices.Contains(answer.Permissions, p) })
	f.OK, f.Says = len(missing) == 0, "all that an apply needs"
	if !f.OK {
		f.Says = "you lack " + join(missing)
	}
	return f
}

// StateBucket is where Terraform keeps its state.
func StateBucket(project string) string { return project + "-terraform" }

// checkBuckets looks for names that are taken, by others or by an apply whose
// state is lost.
func (a API) checkBuckets(ctx context.Context, project, number string) []Finding {
	var findings []Finding
	kept := false
	for _, part := range []string{"terraform", "incoming", "datasets", "models", "predictions", "ledger", "source"} {
		name := project + "-" + part
		var b struct{ ProjectNumber json.Number }
		err := a.call(ctx, http.MethodGet, a.Storage+"b/"+name+"?fields=projectNumber", nil, &b)
		switch {
		case code(err) == http.StatusNotFound:
		case err == nil && b.ProjectNumber.String() == number:
			if part == "terraform" {
				kept = true
			} else if !kept {
				findings = append(findings, Finding{Name: "bucket " + name, Says: "is there, and no state that says who made it: an apply was cut off, or its state is lost",
					Mend: fmt.Sprintf("terraform -chdir=terraform import -var project=%s module.%s.google_storage_bucket.this %s", project, part, name)})
			}
		case err == nil || code(err) == http.StatusForbidden:
			findings = append(findings, Finding{Name: "bucket " + name, Must: true, Says: "belongs to somebody else: names of buckets are unique in the world", Mend: "use a project of another id: gcloud projects create ID"})
		default:
			findings = append(findings, Finding{Name: "bucket " + name, Must: true, Says: err.Error(), Mend: "gcloud storage buckets describe gs://" + name})
		}
	}
	return findings
}

// MakeStateBucket makes the bucket of Terraform's state unless it is there:
// with versions, because a state that is lost is not made again.
func (a API) MakeStateBucket(ctx context.Context, project, region string) (made bool, err error) {
	name := StateBucket(project)
	body := map[string]any{
		"name": name, "location": region, "versioning": map[string]any{"enabled": true},
		"iamConfiguration": map[string]any{"uniformBucketLevelAccess": map[string]any{"enabled": true}, "publicAccessPrevention": "enforced"},
		"lifecycle":        map[string]any{"rule": []any{map[string]any{"action": map[string]any{"type": "Delete"}, "condition": map[string]any{"numNewerVersions": 50}}}},
	}
	err = a.call(ctx, http.MethodPost, a.Storage+"b?project="+project, body, nil)
	if code(err) == http.StatusConflict {
		if err := a.call(ctx, http.MethodGet, a.Storage+"b/"+name, nil, nil); err != nil {
			return false, fmt.Errorf("bucket %s of Terraform's state is there and cannot be read: %w", name, err)
		}
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("make bucket %s for Terraform's state: %w", name, err)
	}
	return true, nil
}

// oldestTerraform that the root's checks of variables need.
var oldestTerraform = [2]int{1, 9}

// CheckTools looks for the programs that are started.
func CheckTools(ctx context.Context) []Finding {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	t := Finding{Name: "terraform", Must: true, Mend: "install Terraform 1.9 or newer: https://developer.hashicorp.com/terraform/install"}
	var v struct {
		Version string `json:"terraform_version"`
	}
	out, err := exec.CommandContext(ctx, "terraform", "version", "-json").Output()
	switch {
	case err != nil:
		t.Says = "not found: " + err.Error()
	case json.Unmarshal(out, &v) != nil:
		t.Says = "does not tell its version"
	case older(v.Version):
		t.Says = v.Version + " is too old"
	default:
		t.OK, t.Says = true, v.Version
	}
	findings := []Finding{t}
	for name, mend := range map[string]string{"gcloud": "install the Google Cloud CLI: https://cloud.google.com/sdk/docs/install", "go": "install Go 1.26: https://go.dev/dl"} {
		path, err := exec.LookPath(name)
		f := Finding{Name: name, Must: true, OK: err == nil, Says: path, Mend: mend}
		if err != nil {
			f.Says = "not found"
		}
		findings = append(findings, f)
	}
	slices.SortStableFunc(findings, func(a, b Finding) int { return strings.Compare(a.Name, b.Name) })
	return findings
}

// CheckAccount looks whether gcloud, which submits builds, is logged in: its
// account is another than that of application default credentials.
func CheckAccount(ctx context.Context) Finding {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	f := Finding{Name: "gcloud's account", Must: true, Mend: "gcloud auth login --update-adc"}
	out, err := exec.CommandContext(ctx, "gcloud", "auth", "list", "--filter=status:ACTIVE", "--format=value(account)", "--quiet").Output()
	f.Says = strings.TrimSpace(string(out))
	switch {
	case err != nil:
		f.Says = "gcloud does not tell: " + err.Error()
	case f.Says == "":
		f.Says = "nobody is logged in"
	default:
		f.OK = true
	}
	return f
}

func older(version string) bool {
	parts := strings.SplitN(version, ".", 3)
	if len(parts) < 2 {
		return true
	}
	major, _ := strconv.Atoi(parts[0])
	minor, _ := strconv.Atoi(parts[1])
	return major < oldestTerraform[0] || major == oldestTerraform[0] && minor < oldestTerraform[1]
}
