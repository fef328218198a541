package server_test

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/litterloop/litterloop/shared/blob/blobmem"
	"github.com/litterloop/litterloop/shared/tracking/server"
)

// guarded is a server over a bucket that tells of every object in it.
type guarded struct {
	bucket *blobmem.Bucket
	server *server.Server
}

func newGuarded(o server.Options) guarded {
	b := blobmem.New("models")
	o.Bucket, o.Now, o.Log = b, time.Now, slog.New(slog.DiscardHandler)
	return guarded{b, server.New(o)}
}

// do sends a request whose path is taken as it is.
func (g guarded) do(t *testing.T, method, target, body string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	req := httptest.NewRequestWithContext(t.Context(), method, "http://localhost/", strings.NewReader(body))
	path, query, _ := strings.Cut(target, "?")
	decoded, err := url.PathUnescape(path)
	if err != nil {
		decoded = path
	}
	req.URL.Path, req.URL.RawPath, req.URL.RawQuery = decoded, path, query
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	if h := req.Header.Get("Host"); h != "" {
		req.Host = h
	}
	w := httptest.NewRecorder()
	g.server.ServeHTTP(w, req)
	return w
}

// contained fails when an object lies where none may.
func (g guarded) contained(t *testing.T) {
	t.Helper()
	for a, err := range g.bucket.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		top, _, _ := strings.Cut(a.Name, "/")
		if top != "artifacts" && top != "tracking" && top != "registry" || strings.Contains("/"+a.Name+"/", "/../") {
			t.Errorf("there is an object %q", a.Name)
		}
	}
}

func TestArtifacts_pathTraversal(t *testing.T) {
	g := newGuarded(server.Options{})
	for _, p := range []string{
		"../x", "a/../../x", "..%2fx", "%2e%2e/x", "%2e%2e%2fx", "%252e%252e%252fx", "%25252e%25252e/x", "..%5cx", "..\\x", "a/..%00/x", "/etc/passwd", "%2fetc/passwd",
		"file:///etc/passwd", "a%23b", "%2e%2e%3b/x", "a/%0d%0ab", "C:\\x",
	} {
		for _, method := range []string{http.MethodPut, http.MethodGet, http.MethodDelete} {
			w := g.do(t, method, "/api/2.0/mlflow-artifacts/artifacts/"+p, "x")
			if ok := p == "%2e%2e%3b/x"; w.Code != http.StatusBadRequest && !ok || w.Code >= 500 {
				t.Errorf("%s %s: %d %s", method, p, w.Code, w.Body)
			}
		}
		if w := g.do(t, http.MethodGet, "/api/2.0/mlflow-artifacts/artifacts?path="+url.QueryEscape(p), ""); w.Code >= 500 {
			t.Errorf("list %s: %d %s", p, w.Code, w.Body)
		}
	}
	g.contained(t)
}

func TestServer_badInputIsNeverItsOwnFault(t *testing.T) {
	g := newGuarded(server.Options{})
	deep := strings.Repeat(`{"a":`, 20000) + "1" + strings.Repeat("}", 20000)
	for _, body := range []string{
		"", "{", "[]", "1", `"x"`, "null", `"{\"name\": \"twice\"}"`, deep, `{"run_id": 7}`, `{"run_id": ["x"]}`, `{"run_id": {"a": 1}}`,
		`{"run_id": "x", "metrics": 1}`, `{"run_id": "x", "metrics": [1]}`, `{"run_id": "x", "metrics": [{"key": 1, "value": [], "timestamp": {}}]}`,
		`{"run_id": "x", "key": "k", "value": "v", "timestamp": 1e400, "step": "NaN"}`, `{"name": 5, "tags": "x"}`, `{"name": "` + strings.Repeat("n", 5000) + `"}`,
		`{"name": "a\u0000b"}`, `{"name": "..", "source": "..", "version": "-1", "alias": "..", "new_name": "../x"}`, "\xff\xfe", `{"experiment_ids": [1, null], "max_results": "many"}`,
		`{"experiment_id": "0", "tags": [{"key": "../x", "value": {}}]}`, `{"experiment_ids": ["0"], "max_results": -5, "order_by": [7], "filter": 3}`,
		`{"experiment_id": "99999999999999999999999", "name": "x"}`, `{"experiment_ids": ["0"], "page_token": "eyJvZmZzZXQiOiAtMX0="}`,
	} {
		for _, route := range []string{
			"experiments/create", "experiments/search", "experiments/update", "runs/create", "runs/update", "runs/search", "runs/log-metric", "runs/log-batch", "runs/log-parameter",
			"runs/set-tag", "runs/log-inputs", "runs/outputs", "runs/log-model", "logged-models", "logged-models/search", "logged-models/m-x/params",
			"registered-models/create", "registered-models/rename", "registered-models/alias", "registered-models/get-latest-versions",
			"model-versions/create", "model-versions/transition-stage", "model-versions/set-tag", "artifacts/presigned-upload-url",
		} {
			w := g.do(t, http.MethodPost, "/api/2.0/mlflow/"+route, body)
			if w.Code >= 500 && w.Code != http.StatusNotImplemented {
				t.Errorf("%s of %.60s: %d %s", route, body, w.Code, w.Body)
			}
			var answer struct {
				Code string `json:"error_code"`
			}
			if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Code >= 400 && answer.Code == "" {
				t.Errorf("%s of %.60s: %d %s", route, body, w.Code, w.Body)
			}
		}
	}
	g.contained(t)
}

func TestServer_giantBody(t *testing.T) {
	g := newGuarded(server.Options{})
	req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "http://localhost/api/2.0/mlflow/runs/log-batch", io.LimitReader(zeros{}, 1<<30))
	req.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	if g.server.ServeHTTP(w, req); w.Code != http.StatusBadRequest {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

func TestServer_hostsAndOrigins(t *testing.T) {
	open, fronted := newGuarded(server.Options{}), newGuarded(server.Options{Hosts: server.Hosts{Fronted: true}})
	named := newGuarded(server.Options{Hosts: server.Hosts{Allowed: []string{"*.example.com", "tracking:5000"}, Origins: []string{"https://pages.example.com"}}})
	for _, c := range []struct {
		name           string
		g              guarded
		method, target string
		header         []string
		want           int
	}{
		{"this machine", open, "GET", "/api/2.0/mlflow/experiments/get?experiment_id=0", []string{"Host", "localhost:5000"}, 200},
		{"a private address", open, "GET", "/api/2.0/mlflow/experiments/get?experiment_id=0", []string{"Host", "10.1.2.3"}, 200},
		{"IPv6 loopback", open, "GET", "/api/2.0/mlflow/experiments/get?experiment_id=0", []string{"Host", "[::1]:5000"}, 200},
		{"a name that was made to mean this machine", open, "GET", "/api/2.0/mlflow/experiments/get?experiment_id=0", []string{"Host", "evil.example"}, 403},
		{"health for everybody", open, "GET", "/health", []string{"Host", "evil.example"}, 200},
		{"Cloud Run's own name", fronted, "GET", "/api/2.0/mlflow/experiments/get?experiment_id=0", []string{"Host", "tracking-abc-ew.a.run.app"}, 200},
		{"a pattern", named, "GET", "/api/2.0/mlflow/experiments/get?experiment_id=0", []string{"Host", "ml.example.com:8080"}, 200},
		{"a name with its port", named, "GET", "/api/2.0/mlflow/experiments/get?experiment_id=0", []string{"Host", "tracking:5000"}, 200},
		{"another port", named, "GET", "/api/2.0/mlflow/experiments/get?experiment_id=0", []string{"Host", "tracking:6000"}, 403},
		{"a foreign page changes", open, "POST", "/api/2.0/mlflow/experiments/create", []string{"Origin", "https://evil.example"}, 403},
		{"a foreign page changes on Cloud Run", fronted, "POST", "/api/2.0/mlflow/experiments/create", []string{"Origin", "https://evil.example"}, 403},
		{"a sandboxed page changes", open, "POST", "/api/2.0/mlflow/experiments/create", []string{"Origin", "null"}, 403},
		{"an allowed page changes", named, "POST", "/api/2.0/mlflow/experiments/create", []string{"Origin", "https://pages.example.com", "Host", "localhost"}, 200},
		{"its own page changes", open, "POST", "/api/2.0/mlflow/experiments/create", []string{"Origin", "http://127.0.0.1:5000", "Host", "127.0.0.1:5000"}, 200},
		{"tokens pass through", open, "POST", "/api/2.0/mlflow/experiments/search", []string{"Authorization", "Bearer abc"}, 200},
	} {
		body := fmt.Sprintf(`{"name": %q, "max_results": 5}`, c.name)
		if w := c.g.do(t, c.method, c.target, body, c.header...); w.Code != c.want {
			t.Errorf("%s: %d %s, want %d", c.name, w.Code, w.Body, c.want)
		}
	}
}

var methods = regexp.MustCompile(`^[A-Za-z]{1,20}$`)

// Whatever is asked, the answer is no fault of the server's, and no object lies
// elsewhere than it may.
func FuzzServer(f *testing.F) {
	for _, s := range [][3]string{
		{"PUT", "/api/2.0/mlflow-artifacts/artifacts/a/%2e%2e%2fb", "x"},
		{"POST", "/api/2.0/mlflow/runs/create", `{"experiment_id": "0"}`},
		{"POST", "/ajax-api/2.0/mlflow/runs/search", `{"experiment_ids": ["0"], "filter": "tags.x = 'y'"}`},
		{"PATCH", "/api/2.0/mlflow/logged-models/m-1/tags", `{"tags": [{"key": "a", "value": "b"}]}`},
		{"DELETE", "/api/2.0/mlflow/registered-models/alias", `{"name": "a", "alias": "b"}`},
		{"GET", "/api/2.0/mlflow/metrics/get-history-bulk-interval?run_ids=a&metric_key=b&max_results=3", ""},
		{"POST", "/api/2.0/mlflow/model-versions/create", `{"name": "a", "source": "models:/a/1"}`},
		{"POST", "/api/2.0/mlflow/registered-models/create", `{"name": "a"}`},
		{"GET", "/get-artifact?run_uuid=x&path=../../y", ""},
	} {
		f.Add(s[0], s[1], s[2])
	}
	f.Fuzz(func(t *testing.T, method, target, body string) {
		if !methods.MatchString(method) { // which net/http refuses before
			return
		}
		g := newGuarded(server.Options{})
		g.do(t, http.MethodPost, "/api/2.0/mlflow/registered-models/create", `{"name": "a"}`)
		if w := g.do(t, method, target, body); w.Code >= 500 && w.Code != http.StatusNotImplemented {
			t.Errorf("%s %q of %q: %d %s", method, target, body, w.Code, w.Body)
		}
		g.contained(t)
	})
}
