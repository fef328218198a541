package server_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/litterloop/litterloop/shared/blob/blobmem"
	"github.com/litterloop/litterloop/shared/blob/blobtest"
	"github.com/litterloop/litterloop/shared/registry"
	"github.com/litterloop/litterloop/shared/tracking/server"
)

// Calls of the registry take at most three requests one after the other, by a
// server that has just begun.
func TestServer_threeRoundTripsACall(t *testing.T) {
	const latency = 30 * time.Millisecond
	g := newGuarded(server.Options{})
	must := func(path, body string) (answer map[string]map[string]any) {
		t.Helper()
		w := g.do(t, http.MethodPost, "/api/2.0/mlflow/"+path, body)
		if w.Code != http.StatusOK {
			t.Fatalf("%s %s: %d %s", path, body, w.Code, w.Body)
		}
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
			t.Fatal(err)
		}
		return answer
	}
	for _, name := range []string{"litter", "born", "doomed"} {
		must("registered-models/create", fmt.Sprintf(`{"name": %q}`, name))
		for range 5 {
			must("model-versions/create", fmt.Sprintf(`{"name": %q, "source": "gs://b/x"}`, name))
		}
		must("registered-models/alias", fmt.Sprintf(`{"name": %q, "alias": "staging", "version": "5"}`, name))
	}
	must("registered-models/rename", `{"name": "born", "new_name": "grown"}`)
	logged := must("logged-models", `{"experiment_id": "0"}`)["model"]["info"].(map[string]any)
	id, lies := logged["model_id"], logged["artifact_uri"]
	for _, c := range []struct{ name, method, path, body string }{
		{"describe", "PATCH", "registered-models/update", `{"name": "litter", "description": "x"}`},
		{"describe what was renamed", "PATCH", "registered-models/update", `{"name": "grown", "description": "x"}`},
		{"rename", "POST", "registered-models/rename", `{"name": "litter", "new_name": "rubbish"}`},
		{"rename again", "POST", "registered-models/rename", `{"name": "rubbish", "new_name": "litter"}`},
		{"get", "GET", "registered-models/get?name=litter", ""},
		{"tag", "POST", "registered-models/set-tag", `{"name": "litter", "key": "k", "value": "v"}`},
		{"search", "GET", "registered-models/search", ""},
		{"search versions", "GET", "model-versions/search", ""},
		{"alias", "POST", "registered-models/alias", `{"name": "litter", "alias": "a", "version": "4"}`},
		{"by alias", "GET", "registered-models/alias?name=litter&alias=staging", ""},
		{"remove an alias", "DELETE", "registered-models/alias", `{"name": "litter", "alias": "staging"}`},
		{"register", "POST", "model-versions/create", `{"name": "litter", "source": "gs://b/y"}`},
		{"register a logged model", "POST", "model-versions/create", fmt.Sprintf(`{"name": "litter", "source": "models:/%s", "model_id": %q}`, id, id)},
		{"register a logged model by its files", "POST", "model-versions/create", fmt.Sprintf(`{"name": "litter", "source": %q, "model_id": %q}`, lies, id)},
		{"register a logged model that lies elsewhere", "POST", "model-versions/create", fmt.Sprintf(`{"name": "litter", "source": "gs://b/z", "model_id": %q}`, id)},
		{"describe a version", "PATCH", "model-versions/update", `{"name": "litter", "version": "2", "description": "x"}`},
		{"move a version", "POST", "model-versions/transition-stage", `{"name": "litter", "version": "2", "stage": "Production"}`},
		{"tag a version", "POST", "model-versions/set-tag", `{"name": "litter", "version": "2", "key": "k", "value": "v"}`},
		{"delete a version", "DELETE", "model-versions/delete", `{"name": "litter", "version": "1"}`},
		{"delete a model", "DELETE", "registered-models/delete", `{"name": "doomed"}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := guarded{g.bucket, server.New(server.Options{
					Bucket: blobtest.Slow{Bucket: g.bucket, Latency: latency}, Now: time.Now, Log: slog.New(slog.DiscardHandler),
				})}
				begin := time.Now()
				w := s.do(t, c.method, "/api/2.0/mlflow/"+c.path, c.body)
				if trips := time.Since(begin) / latency; w.Code != http.StatusOK || trips > 3 {
					t.Errorf("%d round trips, %d %s", trips, w.Code, w.Body)
				}
			})
		})
	}
}

// What was deleted is away for clients, goes for good when the policy says so,
// and a fault of the policy takes nothing away.
func TestServer_keepsWhatWasDeleted(t *testing.T) {
	for name, c := range map[string]struct {
		keep func() (time.Duration, error)
		want bool
	}{
		"long enough":      {func() (time.Duration, error) { return 48 * time.Hour, nil }, true},
		"no more":          {func() (time.Duration, error) { return 0, nil }, false},
		"a policy at odds": {func() (time.Duration, error) { return 0, fmt.Errorf("policy-faulty") }, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := blobmem.New("models")
				g := guarded{b, server.New(server.Options{
					Bucket: b, Now: time.Now, Log: slog.New(slog.DiscardHandler), Keep: func(_ context.Context) (time.Duration, error) { return c.keep() },
				})}
				path := "/api/2.0/mlflow/registered-models/"
				for _, model := range []string{"litter", "second"} {
					g.do(t, http.MethodPost, path+"create", fmt.Sprintf(`{"name": %q}`, model))
					time.Sleep(25 * time.Hour) // a server purges once a day
					if w := g.do(t, http.MethodDelete, path+"delete", fmt.Sprintf(`{"name": %q}`, model)); w.Code != http.StatusOK {
						t.Fatalf("delete: %d %s", w.Code, w.Body)
					}
				}
				synctest.Wait()
				if w := g.do(t, http.MethodGet, path+"get?name=litter", ""); w.Code != http.StatusNotFound {
					t.Errorf("a deleted model: %d %s", w.Code, w.Body)
				}
				_, err := registry.New(b, time.Now).RestoreModel(t.Context(), "litter", "kim")
				if got := err == nil; got != c.want {
					t.Errorf("restored: %v", err)
				}
			})
		})
	}
}
