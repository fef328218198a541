package cloud

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// world is a project as Google's APIs tell of it.
type world struct {
	project    int // status of the project; 0: 200
	state      string
	billing    bool
	services   []string
	lacks      string
	buckets    map[string]string // project number by name
	madeBucket map[string]any
}

func healthy() *world {
	return &world{state: "ACTIVE", billing: true, services: append([]string{"run.googleapis.com"}, bootstrap...), buckets: map[string]string{}}
}

func (w *world) serve(t *testing.T) API {
	mux := http.NewServeMux()
	answer := func(r http.ResponseWriter, status int, v any) {
		r.WriteHeader(status)
		json.NewEncoder(r).Encode(v)
	}
	fault := func(message string) any { return map[string]any{"error": map[string]any{"message": message}} }
	mux.HandleFunc("GET /crm/projects/streets-1", func(r http.ResponseWriter, _ *http.Request) {
		if w.project != 0 {
			answer(r, w.project, fault("The caller does not have permission"))
			return
		}
		answer(r, 200, map[string]any{"projectNumber": "12", "lifecycleState": w.state})
	})
	mux.HandleFunc("POST /crm/projects/{call}", func(r http.ResponseWriter, q *http.Request) {
		var asked struct{ Permissions []string }
		if err := json.NewDecoder(q.Body).Decode(&asked); err != nil || q.PathValue("call") != "streets-1:testIamPermissions" {
			t.Errorf("%s: %v", q.URL, err)
		}
		var has []string
		for _, p := range asked.Permissions {
			if p != w.lacks {
				has = append(has, p)
			}
		}
		answer(r, 200, map[string]any{"permissions": has})
	})
	mux.HandleFunc("GET /billing/projects/streets-1/billingInfo", func(r http.ResponseWriter, _ *http.Request) {
		answer(r, 200, map[string]any{"billingEnabled": w.billing, "billingAccountName": "billingAccounts/A"})
	})
	mux.HandleFunc("GET /usage/projects/streets-1/services", func(r http.ResponseWriter, q *http.Request) {
		half := w.services[:1] // in two pages
		page := map[string]any{"nextPageToken": "2"}
		if q.URL.Query().Get("pageToken") == "2" {
			half, page = w.services[1:], map[string]any{}
		}
		var list []any
		for _, s := range half {
			list = append(list, map[string]any{"name": "projects/12/services/" + s})
		}
		page["services"] = list
		answer(r, 200, page)
	})
	mux.HandleFunc("GET /storage/b/{bucket}", func(r http.ResponseWriter, q *http.Request) {
		switch number := w.buckets[q.PathValue("bucket")]; number {
		case "":
			answer(r, 404, fault("no such bucket"))
		case "foreign":
			answer(r, 403, fault("forbidden"))
		default:
			answer(r, 200, map[string]any{"projectNumber": number})
		}
	})
	mux.HandleFunc("POST /storage/b", func(r http.ResponseWriter, q *http.Request) {
		if w.madeBucket != nil {
			answer(r, 409, fault("you already own this bucket"))
			return
		}
		json.NewDecoder(q.Body).Decode(&w.madeBucket)
		w.buckets[w.madeBucket["name"].(string)] = "12"
		answer(r, 200, w.madeBucket)
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	env := map[string]string{
		"GOOGLE_RESOURCE_MANAGER_CUSTOM_ENDPOINT": s.URL + "/crm/", "GOOGLE_SERVICE_USAGE_CUSTOM_ENDPOINT": s.URL + "/usage/",
		"GOOGLE_CLOUD_BILLING_CUSTOM_ENDPOINT": s.URL + "/billing/", "GOOGLE_STORAGE_CUSTOM_ENDPOINT": s.URL + "/storage/",
	}
	return APIFromEnv(s.Client(), func(key string) string { return env[key] })
}

func TestCheckProject_saysWhichAndTheCommandThatMendsIt(t *testing.T) {
	for name, c := range map[string]struct {
		spoil     func(*world)
		sick      string // name of the only finding that is not OK; empty: none
		says, fix string
	}{
		"all is well":          {func(*world) {}, "", "", ""},
		"wrong project":        {func(w *world) { w.project = 403 }, "project streets-1", "none of this id", "gcloud projects list"},
		"deleted project":      {func(w *world) { w.state = "DELETE_REQUESTED" }, "project streets-1", "DELETE_REQUESTED", "gcloud projects undelete streets-1"},
		"stale credentials":    {func(w *world) { w.project = 401 }, "project streets-1", "not valid", "gcloud auth application-default login"},
		"no billing":           {func(w *world) { w.billing = false }, "billing", "no billing account", "gcloud billing projects link streets-1"},
		"API off":              {func(w *world) { w.services = w.services[:2] }, "APIs", "iam.googleapis.com", "gcloud services enable serviceusage.googleapis.com iam.googleapis.com"},
		"permission missing":   {func(w *world) { w.lacks = "run.services.setIamPolicy" }, "permissions", "you lack run.services.setIamPolicy", "add-iam-policy-binding streets-1"},
		"bucket of others":     {func(w *world) { w.buckets["streets-1-incoming"] = "foreign" }, "bucket streets-1-incoming", "somebody else", "gcloud projects create"},
		"bucket, other number": {func(w *world) { w.buckets["streets-1-models"] = "99" }, "bucket streets-1-models", "somebody else", "gcloud projects create"},
		"half applied":         {func(w *world) { w.buckets["streets-1-datasets"] = "12" }, "bucket streets-1-datasets", "cut off", "import -var project=streets-1 module.datasets.google_storage_bucket.this streets-1-datasets"},
		"applied before":       {func(w *world) { w.buckets["streets-1-terraform"], w.buckets["streets-1-datasets"] = "12", "12" }, "", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := healthy()
			c.spoil(w)
			var sick []Finding
			for _, f := range w.serve(t).CheckProject(t.Context(), "streets-1") {
				if !f.OK {
					sick = append(sick, f)
				}
			}
			if c.sick == "" {
				if len(sick) > 0 {
					t.Errorf("%+v", sick)
				}
				return
			}
			if len(sick) != 1 || sick[0].Name != c.sick || !strings.Contains(sick[0].Says, c.says) || !strings.Contains(sick[0].Mend, c.fix) {
				t.Errorf("%+v, want %s: %s; mend it: %s", sick, c.sick, c.says, c.fix)
			}
		})
	}
}

func TestCheckAccount_tellsWhetherSomebodyIsLoggedIn(t *testing.T) {
	for name, c := range map[string]struct {
		script string
		ok     bool
		says   string
	}{
		"somebody": {"echo you@example.com", true, "you@example.com"},
		"nobody":   {"true", false, "nobody is logged in"},
		"broken":   {"exit 1", false, "does not tell"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "gcloud"), []byte("#!/bin/sh\n"+c.script+"\n"), 0o755); err != nil {
				t.Fatal(err)
			}
			t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
			f := CheckAccount(t.Context())
			if f.OK != c.ok || !strings.Contains(f.Says, c.says) || !strings.HasPrefix(f.Mend, "gcloud auth login") {
				t.Errorf("%+v", f)
			}
		})
	}
}

func TestMakeStateBucket_twiceIsOnce(t *testing.T) {
	w := healthy()
	api := w.serve(t)
	for i, want := range []bool{true, false} {
		made, err := api.MakeStateBucket(t.Context(), "streets-1", "europe-west1")
		if err != nil || made != want {
			t.Errorf("time %d: made %v, %v", i+1, made, err)
		}
	}
	if v, _ := w.madeBucket["versioning"].(map[string]any); v["enabled"] != true || w.madeBucket["location"] != "europe-west1" {
		t.Errorf("%v", w.madeBucket)
	}
}

func TestOlder(t *testing.T) {
	for version, want := range map[string]bool{"1.8.5": true, "1.9.0": false, "1.11.4": false, "2.0.0": false, "0.15.1": true, "": true} {
		if got := older(version); got != want {
			t.Errorf("%q: %v", version, got)
		}
	}
}
