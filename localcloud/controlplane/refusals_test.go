package controlplane_test

import (
	"net/http"
	"strings"
	"testing"
)

// What cannot be made is refused as the caller's fault: the provider would try a
// server's fault again for a minute and a half.
func TestServer_refuses(t *testing.T) {
	c := start(t, "local-project")
	const functions = "/cloudfunctions/v2/projects/local-project/locations/l/functions?functionId=f"
	for _, tt := range []struct {
		name, method, path, body, host, origin string
		want                                   int
	}{
		{"a function without a configuration", "POST", functions, `{}`, "", "", http.StatusBadRequest},
		{"a function without a source", "POST", functions, `{"buildConfig": {}, "serviceConfig": {}}`, "", "", http.StatusBadRequest},
		{"a schedule that is none", "POST", "/cloudscheduler/v1/projects/local-project/locations/l/jobs", `{"name": "x", "schedule": "often", "httpTarget": {"uri": "http://127.0.0.1"}}`, "", "", http.StatusBadRequest},
		{"no JSON", "POST", functions, `{`, "", "", http.StatusBadRequest},
		{"another project", "GET", "/cloudresourcemanager/v1/projects/other", "", "", "", http.StatusNotFound},
		{"an API that is not served", "GET", "/spanner/v1/projects/p", "", "", "", http.StatusNotImplemented},
		{"a name made to lead here", "GET", "/cloudresourcemanager/v1/projects/local-project", "", "evil.example:80", "", http.StatusForbidden},
		{"a web page", "GET", "/cloudresourcemanager/v1/projects/local-project", "", "", "http://evil.example", http.StatusForbidden},
		{"this machine", "GET", "/cloudresourcemanager/v1/projects/local-project", "", "localhost", "", http.StatusOK},
	} {
		r, err := http.NewRequestWithContext(t.Context(), tt.method, c.URL+tt.path, strings.NewReader(tt.body))
		if err != nil {
			t.Fatal(err)
		}
		r.Host = tt.host
		if tt.origin != "" {
			r.Header.Set("Origin", tt.origin)
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != tt.want {
			t.Errorf("%s: %s, want %d", tt.name, resp.Status, tt.want)
		}
	}
	if len(c.functions) > 0 || len(c.schedule.List()) > 0 {
		t.Errorf("made all the same: %v, %v", c.functions, c.schedule.List())
	}
}
