package controlplane_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/litterloop/litterloop/localcloud/controlplane"
	"github.com/litterloop/litterloop/localcloud/iam"
)

// What is set is what decides, at once: on the question which permissions one
// has, and on who may set more.
func TestPolicies_decide(t *testing.T) {
	dir := t.TempDir()
	serve := func() *httptest.Server {
		docs, err := controlplane.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		gone := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
		s := controlplane.New(controlplane.Options{Documents: docs, Project: "p", Storage: gone, PubSub: gone, Run: gone,
			Access: iam.New(iam.Options{Project: "p", Policy: docs.Policy})})
		return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s.ServeHTTP(w, r.WithContext(iam.As(r.Context(), r.Header.Get("As"))))
		}))
	}
	ts := serve()
	defer func() { ts.Close() }()
	call := func(who, method, path, body string) (int, map[string]any) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, ts.URL+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("As", who)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var answer map[string]any
		_ = json.NewDecoder(resp.Body).Decode(&answer) // of a success without a body there is none
		return resp.StatusCode, answer
	}
	const who = "serviceAccount:a@p.iam.gserviceaccount.com"
	bind := func(role string) string {
		return `{"bindings": [{"role": "` + role + `", "members": ["` + who + `"]}]}`
	}
	for path, body := range map[string]string{
		"PUT /storage/v1/b/b/iam":                                  bind("roles/storage.objectViewer"),
		"POST /pubsub/v1/projects/p/topics/t:setIamPolicy":         `{"policy": ` + bind("roles/pubsub.publisher") + `}`,
		"POST /pubsub/v1/projects/p/subscriptions/s:setIamPolicy":  `{"policy": ` + bind("roles/pubsub.subscriber") + `}`,
		"POST /cloudresourcemanager/v1/projects/p:setIamPolicy":    `{"policy": ` + bind("roles/run.viewer") + `}`,
		"POST /iam/v1/projects/p/serviceAccounts/e@p:setIamPolicy": `{"policy": ` + bind("roles/iam.serviceAccountUser") + `}`,
	} {
		method, at, _ := strings.Cut(path, " ")
		if code, answer := call("", method, at, body); code != http.StatusOK {
			t.Fatalf("%s: %d %v", path, code, answer)
		}
		if code, _ := call(who, method, at, body); code != http.StatusForbidden {
			t.Errorf("%s by an account that may not: %d", path, code)
		}
	}
	asked := []string{"storage.objects.get", "storage.objects.delete", "pubsub.topics.publish", "pubsub.subscriptions.consume", "run.services.get", "run.services.update", "iam.serviceAccounts.actAs"}
	body, err := json.Marshal(map[string]any{"permissions": asked})
	if err != nil {
		t.Fatal(err)
	}
	check := func(when string) {
		t.Helper()
		for path, want := range map[string][]string{
			"GET /storage/v1/b/b/iam/testPermissions?permissions=" + strings.Join(asked, "&permissions="): {"storage.objects.get", "run.services.get"},
			"POST /pubsub/v1/projects/p/topics/t:testIamPermissions":                                      {"pubsub.topics.publish", "run.services.get"},
			"POST /pubsub/v1/projects/p/subscriptions/s:testIamPermissions":                               {"pubsub.subscriptions.consume", "run.services.get"},
			"POST /pubsub/v1/projects/p/topics/other:testIamPermissions":                                  {"run.services.get"},
			"POST /iam/v1/projects/p/serviceAccounts/e@p:testIamPermissions":                              {"run.services.get", "iam.serviceAccounts.actAs"},
			"POST /cloudresourcemanager/v1/projects/p:testIamPermissions":                                 {"run.services.get"},
		} {
			method, at, _ := strings.Cut(path, " ")
			body := string(body)
			if method == http.MethodGet {
				body = ""
			}
			code, answer := call(who, method, at, body)
			var got []string
			has, _ := answer["permissions"].([]any)
			for _, p := range has {
				got = append(got, p.(string))
			}
			if d := cmp.Diff(want, got); code != http.StatusOK || d != "" {
				t.Errorf("%s, %s: %d (-want +got):\n%s", when, path, code, d)
			}
			if _, all := call("", method, at, body); len(all["permissions"].([]any)) != len(asked) {
				t.Errorf("the owner lacks some of %v: %v", asked, all)
			}
		}
	}
	check("at once")
	ts.Close()
	ts = serve()
	check("after a restart")

	for name, policy := range map[string]string{
		"a role that is not known":       bind("roles/spanner.admin"),
		"a condition that is not served": `{"bindings": [{"role": "roles/pubsub.publisher", "members": [], "condition": {"expression": "request.time < timestamp(\"2030-01-01T00:00:00Z\")"}}]}`,
	} {
		if code, answer := call("", "POST", "/pubsub/v1/projects/p/topics/t:setIamPolicy", `{"policy": `+policy+`}`); code != http.StatusNotImplemented {
			t.Errorf("%s: %d %v", name, code, answer)
		}
	}
	if code, _ := call("", "DELETE", "/pubsub/v1/projects/p/topics/t", ""); code != http.StatusNoContent {
		t.Fatalf("delete: %d", code)
	}
	if _, answer := call(who, "POST", "/pubsub/v1/projects/p/topics/t:testIamPermissions", string(body)); slices.Contains(answer["permissions"].([]any), "pubsub.topics.publish") {
		t.Errorf("a topic of the same name begins with the rights of the one before: %v", answer)
	}
	if code, _ := call(who, "GET", "/cloudscheduler/v1/projects/p/locations/l/jobs/j", ""); code != http.StatusNotImplemented {
		t.Errorf("an account asks the control plane: %d", code)
	}
}
