package server_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/blob/blobmem"
	"github.com/litterloop/litterloop/shared/blob/blobtest"
	"github.com/litterloop/litterloop/shared/tracking/server"
)

const (
	calls = "/api/2.0/mlflow/"
	files = "/api/2.0/mlflow-artifacts/artifacts/"
)

// over is a server over b that shows what lies in memory.
func over(memory *blobmem.Bucket, b blob.Bucket) guarded {
	return guarded{memory, server.New(server.Options{Bucket: b, Now: time.Now, Log: slog.New(slog.DiscardHandler)})}
}

// again tells whether an answer is one after which MLflow's client asks again,
// and fails when it is an error of another kind.
func again(t *testing.T, what string, w *httptest.ResponseRecorder) bool {
	t.Helper()
	if w.Code == http.StatusOK {
		return false
	}
	var p struct {
		Code string `json:"error_code"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || w.Code != http.StatusServiceUnavailable || p.Code != "TEMPORARILY_UNAVAILABLE" || w.Header().Get("Retry-After") == "" {
		t.Errorf("%s: %d %v %s", what, w.Code, w.Header(), w.Body)
	}
	return true
}

// A bucket refuses one request in five, or loses its answer. Clients that ask
// again as MLflow's does get through; what was acknowledged is there, and nothing
// by half.
func TestServer_bucketThatFails(t *testing.T) {
	memory := blobmem.New("models")
	healthy := over(memory, memory)
	post := func(t *testing.T, g guarded, path, body string) *httptest.ResponseRecorder {
		return g.do(t, http.MethodPost, calls+path, body)
	}
	var created struct {
		Run struct {
			Info struct {
				ID string `json:"run_id"`
			}
		}
	}
	if err := json.Unmarshal(post(t, healthy, "runs/create", `{"experiment_id": "0"}`).Body.Bytes(), &created); err != nil {
		t.Fatal(err)
	}
	run := created.Run.Info.ID
	post(t, healthy, "registered-models/create", `{"name": "litter"}`)
	post(t, healthy, "model-versions/create", `{"name": "litter", "source": "gs://b/x"}`)

	var mu sync.Mutex
	random := rand.New(rand.NewPCG(1, 2))
	var faults atomic.Int64
	faulty := over(memory, blobtest.Faulty{Bucket: memory, Fault: func(string, string) blobtest.Fault {
		mu.Lock()
		defer mu.Unlock()
		if random.IntN(5) > 0 {
			return blobtest.None
		}
		faults.Add(1)
		return blobtest.Refused + blobtest.Fault(random.IntN(2))
	}})
	var wg sync.WaitGroup
	for c := range 4 {
		wg.Go(func() {
			for i := range 40 {
				key := fmt.Sprintf("k%d.%d", c, i)
				for _, do := range []func() *httptest.ResponseRecorder{
					func() *httptest.ResponseRecorder {
						pair := fmt.Sprintf(`[{"key": %q, "value": "x"}]`, key)
						return post(t, faulty, "runs/log-batch", fmt.Sprintf(`{"run_id": %q, "params": %s, "tags": %s, "metrics": [{"key": %q, "value": 1, "timestamp": 1, "step": 0}]}`, run, pair, pair, key))
					},
					func() *httptest.ResponseRecorder {
						return post(t, faulty, "runs/log-metric", fmt.Sprintf(`{"run_id": %q, "key": "loss.%d", "value": 1, "timestamp": 1, "step": %d}`, run, c, i))
					},
					func() *httptest.ResponseRecorder {
						return post(t, faulty, "registered-models/alias", fmt.Sprintf(`{"name": "litter", "alias": %q, "version": "1"}`, strings.ReplaceAll(key, ".", "-")))
					},
					func() *httptest.ResponseRecorder {
						return faulty.do(t, http.MethodPut, files+"0/"+run+"/artifacts/"+key, key)
					},
					func() *httptest.ResponseRecorder {
						w := faulty.do(t, http.MethodGet, files+"0/"+run+"/artifacts/"+key, "")
						if w.Code == http.StatusOK && w.Body.String() != key {
							t.Errorf("artifact %s is answered as %q", key, w.Body)
						}
						return w
					},
				} {
					for try := 0; again(t, key, do()); try++ {
						if try == 200 {
							t.Errorf("%s: given up", key)
							return
						}
					}
				}
			}
		})
	}
	wg.Wait()
	if faults.Load() < 100 {
		t.Errorf("%d faults", faults.Load())
	}
	var got struct {
		Run struct {
			Data struct{ Metrics, Params, Tags []struct{ Key string } }
		}
	}
	if err := json.Unmarshal(healthy.do(t, http.MethodGet, calls+"runs/get?run_id="+run, "").Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if d := got.Run.Data; len(d.Metrics) != 160+4 || len(d.Params) != 160 || len(d.Tags) != 161 {
		t.Errorf("%d metrics, %d parameters, %d tags", len(d.Metrics), len(d.Params), len(d.Tags))
	}
	var history struct{ Metrics []any }
	if err := json.Unmarshal(healthy.do(t, http.MethodGet, calls+"metrics/get-history?run_id="+run+"&metric_key=loss.2", "").Body.Bytes(), &history); err != nil || len(history.Metrics) != 40 {
		t.Errorf("%d points of 40, %v", len(history.Metrics), err)
	}
	var model struct {
		Model struct{ Aliases []any } `json:"registered_model"`
	}
	if err := json.Unmarshal(healthy.do(t, http.MethodGet, calls+"registered-models/get?name=litter", "").Body.Bytes(), &model); err != nil || len(model.Model.Aliases) != 160 {
		t.Errorf("%d aliases of 160, %v", len(model.Model.Aliases), err)
	}
	for c := range 4 {
		for i := range 40 {
			key := fmt.Sprintf("k%d.%d", c, i)
			if w := healthy.do(t, http.MethodGet, files+"0/"+run+"/artifacts/"+key, ""); w.Body.String() != key {
				t.Errorf("artifact %s is %q", key, w.Body)
			}
		}
	}
}

// A bucket that takes no more, as on a full disk: every change is refused in a
// way that the client understands, reading goes on, and nothing has changed.
func TestServer_bucketIsFull(t *testing.T) {
	memory := blobmem.New("models")
	var full atomic.Bool
	g := over(memory, blobtest.Faulty{Bucket: memory, Fault: func(method, _ string) blobtest.Fault {
		if full.Load() && method == "write" {
			return blobtest.Refused
		}
		return blobtest.None
	}})
	answer := func(method, path, body string) *httptest.ResponseRecorder { return g.do(t, method, path, body) }
	var created map[string]map[string]map[string]string
	w := answer(http.MethodPost, calls+"runs/create", `{"experiment_id": "0"}`)
	_ = json.Unmarshal(w.Body.Bytes(), &created) // holds more than strings
	run := created["run"]["info"]["run_id"]
	answer(http.MethodPost, calls+"registered-models/create", `{"name": "litter"}`)
	answer(http.MethodPost, calls+"model-versions/create", `{"name": "litter", "source": "gs://b/x"}`)
	answer(http.MethodPut, files+"0/"+run+"/artifacts/a", "old")
	see := func() (all []string) {
		for _, path := range []string{calls + "runs/get?run_id=" + run, calls + "registered-models/get?name=litter", calls + "model-versions/search", files + "0/" + run + "/artifacts/a"} {
			w := answer(http.MethodGet, path, "")
			if w.Code != http.StatusOK {
				t.Errorf("%s: %d %s", path, w.Code, w.Body)
			}
			all = append(all, w.Body.String())
		}
		return append(all, answer(http.MethodPost, calls+"runs/search", `{"experiment_ids": ["0"]}`).Body.String())
	}
	before := see()
	full.Store(true)
	changes := []struct{ method, path, body string }{
		{"POST", calls + "experiments/create", `{"name": "new"}`},
		{"POST", calls + "runs/create", `{"experiment_id": "0"}`},
		{"POST", calls + "runs/update", fmt.Sprintf(`{"run_id": %q, "status": "FINISHED"}`, run)},
		{"POST", calls + "runs/delete", fmt.Sprintf(`{"run_id": %q}`, run)},
		{"POST", calls + "runs/log-metric", fmt.Sprintf(`{"run_id": %q, "key": "loss", "value": 1, "timestamp": 1}`, run)},
		{"POST", calls + "runs/log-parameter", fmt.Sprintf(`{"run_id": %q, "key": "lr", "value": "1"}`, run)},
		{"POST", calls + "runs/set-tag", fmt.Sprintf(`{"run_id": %q, "key": "a", "value": "1"}`, run)},
		{"POST", calls + "runs/log-batch", fmt.Sprintf(`{"run_id": %q, "params": [{"key": "lr", "value": "1"}], "metrics": [{"key": "loss", "value": 1, "timestamp": 1}]}`, run)},
		{"POST", calls + "logged-models", `{"experiment_id": "0"}`},
		{"POST", calls + "registered-models/create", `{"name": "new"}`},
		{"POST", calls + "registered-models/rename", `{"name": "litter", "new_name": "new"}`},
		{"PATCH", calls + "registered-models/update", `{"name": "litter", "description": "new"}`},
		{"POST", calls + "registered-models/alias", `{"name": "litter", "alias": "a", "version": "1"}`},
		{"DELETE", calls + "registered-models/delete", `{"name": "litter"}`},
		{"POST", calls + "model-versions/create", `{"name": "litter", "source": "gs://b/y"}`},
		{"POST", calls + "model-versions/transition-stage", `{"name": "litter", "version": "1", "stage": "Production"}`},
		{"DELETE", calls + "model-versions/delete", `{"name": "litter", "version": "1"}`},
		{"PUT", files + "0/" + run + "/artifacts/a", strings.Repeat("new", 1000)},
	}
	for _, c := range changes {
		if !again(t, c.path, answer(c.method, c.path, c.body)) {
			t.Errorf("%s was acknowledged", c.path)
		}
	}
	if diff := cmp.Diff(before, see()); diff != "" {
		t.Errorf("a change that was refused is seen (-before +after):\n%s", diff)
	}
	full.Store(false)
	if diff := cmp.Diff(before, see()); diff != "" {
		t.Errorf("a change that was refused shows later (-before +after):\n%s", diff)
	}
	for _, c := range changes[2:9] { // the client's next try
		if w := answer(c.method, c.path, c.body); w.Code != http.StatusOK && c.path != calls+"runs/delete" && !strings.Contains(w.Body.String(), "'active' state") {
			t.Errorf("%s once there is room: %d %s", c.path, w.Code, w.Body)
		}
	}
}

// A slow bucket is waited for, but not for ever: then the client is told to ask
// again.
func TestServer_bucketIsSlow(t *testing.T) {
	for name, c := range map[string]struct {
		latency time.Duration
		again   bool
	}{
		"ten seconds a request": {10 * time.Second, false},
		"it hangs":              {time.Hour, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				memory := blobmem.New("models")
				over(memory, memory).do(t, http.MethodPost, calls+"registered-models/create", `{"name": "litter"}`)
				g := over(memory, blobtest.Slow{Bucket: memory, Latency: c.latency})
				for _, path := range []string{"runs/create", "model-versions/create"} {
					began := time.Now()
					w := g.do(t, http.MethodPost, calls+path, `{"experiment_id": "0", "name": "litter", "source": "gs://b/x"}`)
					if again(t, path, w) != c.again || time.Since(began) > 3*time.Minute {
						t.Errorf("%s: %d after %v: %s", path, w.Code, time.Since(began), w.Body)
					}
				}
			})
		})
	}
}
