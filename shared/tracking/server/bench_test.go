package server_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/litterloop/litterloop/shared/blob/blobmem"
	"github.com/litterloop/litterloop/shared/tracking"
	"github.com/litterloop/litterloop/shared/tracking/server"
)

// The server's own time of the calls that trainings make, on a bucket in memory
// that holds 10,000 runs.
func BenchmarkServer(b *testing.B) {
	bucket := blobmem.New("models")
	store := tracking.New(bucket, time.Now)
	var last tracking.Run
	for i := range 10_000 {
		r, err := store.StartRun(b.Context(), tracking.NewRun{Experiment: "0", Start: int64(i), Tags: map[string]string{"mlflow.user": "bench", "mlflow.source.name": "train.py"}})
		if err != nil {
			b.Fatal(err)
		}
		if last = r; i%1000 == 999 {
			for left := 1; left > 0; {
				if left, err = store.Fold(b.Context(), 1000); err != nil {
					b.Fatal(err)
				}
			}
		}
	}
	s := server.New(server.Options{Bucket: bucket, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	call := func(b *testing.B, method, path, body string) string {
		req := httptest.NewRequestWithContext(b.Context(), method, "http://localhost"+path, strings.NewReader(body))
		req.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		if s.ServeHTTP(w, req); w.Code != http.StatusOK {
			b.Fatalf("%s %s: %d %s", method, path, w.Code, w.Body)
		}
		return w.Body.String()
	}
	const api = "/api/2.0/mlflow/"
	var metrics []string
	for i := range 100 {
		metrics = append(metrics, fmt.Sprintf(`{"key": "m%d", "value": %d, "timestamp": 1, "step": 0}`, i, i))
	}
	batch := fmt.Sprintf(`{"run_id": %q, "metrics": [%s]}`, last.ID, strings.Join(metrics, ","))
	call(b, "POST", api+"registered-models/create", `{"name": "litter"}`)
	call(b, "POST", api+"model-versions/create", `{"name": "litter", "source": "gs://b/m"}`)
	call(b, "POST", api+"registered-models/alias", `{"name": "litter", "alias": "staging", "version": "1"}`)
	for _, c := range []struct{ name, method, path, body string }{
		{"get run", "GET", "runs/get?run_id=" + last.ID, ""},
		{"search 1,000 of 10,000 runs", "POST", "runs/search", `{"experiment_ids": ["0"], "max_results": 1000}`},
		{"search with a filter", "POST", "runs/search", `{"experiment_ids": ["0"], "filter": "tags.mlflow.user = 'bench' AND attributes.start_time > 9000", "order_by": ["attributes.run_name ASC"], "max_results": 100}`},
		{"version by alias", "GET", "registered-models/alias?name=litter&alias=staging", ""},
		{"set alias", "POST", "registered-models/alias", `{"name": "litter", "alias": "staging", "version": "1"}`},
		{"log-batch of 100 metrics", "POST", "runs/log-batch", batch},
		{"create run", "POST", "runs/create", `{"experiment_id": "0", "start_time": 1}`},
	} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				call(b, c.method, api+c.path, c.body)
			}
		})
	}
}
