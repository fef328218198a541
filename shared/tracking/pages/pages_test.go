package pages_test

import (
	"context"
	"fmt"
	"html"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/blob/blobmem"
	"github.com/litterloop/litterloop/shared/registry"
	"github.com/litterloop/litterloop/shared/registry/gate"
	"github.com/litterloop/litterloop/shared/rollout"
	"github.com/litterloop/litterloop/shared/status"
	"github.com/litterloop/litterloop/shared/tracking"
	"github.com/litterloop/litterloop/shared/tracking/pages"
	"github.com/litterloop/litterloop/shared/training"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// world is a store with two runs, a model of two versions and its rollout.
type world struct {
	*httptest.Server
	bucket     blob.Bucket
	experiment string
}

const (
	runA = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	runB = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
)

func newWorld(t *testing.T) world {
	t.Helper()
	ctx, b := t.Context(), blobmem.New("models")
	now := func() time.Time { return noon }
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	runs, models := tracking.New(b, now), registry.New(b, now)
	e, err := runs.EnsureExperiment(ctx, `litter <b>&"`)
	must(err)
	for i, id := range []string{runA, runB} {
		_, err := runs.CreateRun(ctx, e.ID, id, fmt.Sprintf("run <i>%d", i), map[string]string{tracking.TagNote: "trained from scratch <script>"})
		must(err)
		must(runs.LogParams(ctx, id, map[string]string{"seed": "1", "steps": fmt.Sprint(100 * (i + 1))}))
		var points []tracking.Metric
		for step := range 50 {
			points = append(points, tracking.Metric{Key: "train/loss", Value: math.Exp(-float64(step) / 10 * float64(i+1)), Step: int64(step), Time: noon.UnixMilli()})
		}
		points = append(points, tracking.Metric{Key: "gate/mAP50", Value: 0.5 + 0.1*float64(i), Time: noon.UnixMilli()}, tracking.Metric{Key: "odd", Value: math.NaN(), Time: noon.UnixMilli()})
		must(runs.LogMetrics(ctx, id, "all", points))
		must(runs.SetStatus(ctx, id, tracking.Finished))
	}
	for name, text := range map[string]string{
		"plots/confusion matrix.png": "\x89PNG\r\n\x1a\n", "notes.md": "# <b>notes", "evil.html": "<script>alert(1)</script>", "model/MLmodel": "flavors: {}", "weights.bin": "\x00",
	} {
		_, err := b.Write(ctx, tracking.ArtifactPrefix(e.ID, runA)+name, strings.NewReader(text), blob.WriteOptions{IfGeneration: blob.Any})
		must(err)
	}
	_, err = b.Write(ctx, "secret.json", strings.NewReader("{}"), blob.WriteOptions{IfGeneration: blob.Any})
	must(err)
	for i, id := range []string{runA, runB} {
		_, err := models.Create(ctx, registry.Version{Model: "litter", Run: id, Package: "packages/" + id + "/", Dataset: "d1234567890123456789", SHA256: strings.Repeat("0", 64)})
		must(err)
		_, err = models.SetGate(ctx, "litter", i+1, gate.Verdict{Passed: i == 0, Candidate: 0.5, Decided: noon, Policy: gate.DefaultPolicy(), Reasons: []gate.Reason{{Code: gate.ReasonWorse, Message: "0.4 is less than 0.5"}}[:i]})
		must(err)
	}
	must(models.SetAlias(ctx, "litter", "staging", 1, "deploy", "served <all>"))
	_, err = blob.WriteJSON(ctx, b, "rollouts/litter/1.json", rollout.Rollout{Model: "litter", Version: 1, Revision: "litter-v1", State: rollout.Serving, Started: noon, Checks: []rollout.Check{{Time: noon, Percent: 10, Photos: 8, Latency: 31}}}, blob.Any)
	must(err)
	p := pages.New(pages.Options{Bucket: b, Prefix: "/mlflow", Now: now, Log: slog.New(slog.DiscardHandler), Loop: func(context.Context) (status.Snapshot, error) {
		return status.Snapshot{Trainings: []training.Training{{Run: runA, Dataset: "d1234567890123456789", State: training.Failed, Failure: "no <memory>", Started: noon}}}, nil
	}})
	s := httptest.NewServer(http.StripPrefix("/mlflow", p))
	t.Cleanup(s.Close)
	return world{s, b, e.ID}
}

func (w world) get(t *testing.T, path string) (*http.Response, string) {
	t.Helper()
	resp, err := http.Get(w.URL + "/mlflow" + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(text)
}

func TestPages_show(t *testing.T) {
	w := newWorld(t)
	tests := []struct {
		name, path string
		want       []string
	}{
		{"first page", "/", []string{`litter <b>&"`, "@staging 1", "Experiments"}},
		{"experiment", "/experiments/" + w.experiment, []string{"run <i>0", "run <i>1", "finished", "0.6", "gate/mAP50"}},
		{"filtered", "/experiments/" + w.experiment + "?filter=" + url.QueryEscape("params.steps = '200'"), []string{"run <i>1"}},
		{"a filter with a fault", "/experiments/" + w.experiment + "?filter=" + url.QueryEscape("nonsense !"), []string{`role="alert"`, `value="nonsense !"`}},
		{"run", "/runs/" + runA, []string{"train/loss by step", "step 49", "steps", "100", "trained from scratch <script>", "litter version 1", "confusion%20matrix.png", "notes.md", "NaN"}},
		{"comparison", "/compare?run=" + runA + "&run=" + runB, []string{"run <i>0", "run <i>1", `class="differs"`, `figure best`, "200"}},
		{"model", "/models/litter", []string{"@staging", "served <all>", "litter-v1", "refused", "passed"}},
		{"version served", "/models/litter/1", []string{"litter-v1", "serving", "golden", "d1234567890123456789", "31 ms"}},
		{"version refused", "/models/litter/2", []string{"0.4 is less than 0.5", "no revision yet"}},
		{"loop", "/loop", []string{"no <memory>", "failed", "Training"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			resp, text := w.get(t, tt.path)
			if resp.StatusCode != http.StatusOK {
				t.Fatalf("%s\n%s", resp.Status, text)
			}
			seen := html.UnescapeString(text)
			for _, want := range tt.want {
				if !strings.Contains(strings.ToLower(seen), strings.ToLower(want)) {
					t.Errorf("no %q in\n%s", want, text)
				}
			}
			if strings.Contains(text, "<i>0") || strings.Contains(text, "scratch <script>") || strings.Contains(text, "<memory>") {
				t.Error("what people wrote is markup")
			}
			for _, link := range regexp.MustCompile(`(?:href|src|action)="([^"]+)"`).FindAllStringSubmatch(text, -1) {
				target := html.UnescapeString(link[1])
				if !strings.HasPrefix(target, "/mlflow/") && !strings.HasPrefix(target, "?") {
					t.Errorf("link %q leaves the prefix", target)
					continue
				}
				if target = strings.TrimPrefix(target, "/mlflow"); strings.HasPrefix(target, "/") && target != "/compare" {
					if resp, _ := w.get(t, target); resp.StatusCode != http.StatusOK {
						t.Errorf("link %s: %s", target, resp.Status)
					}
				}
			}
			if csp := resp.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") {
				t.Errorf("policy %q", csp)
			}
		})
	}
}

func TestPages_tellWhatIsWrong(t *testing.T) {
	w := newWorld(t)
	for path, want := range map[string]int{
		"/runs/cccccccccccccccccccccccccccccccc": http.StatusNotFound,
		"/experiments/12345":                     http.StatusNotFound,
		"/experiments/none":                      http.StatusBadRequest,
		"/models/none":                           http.StatusNotFound,
		"/models/litter/9":                       http.StatusNotFound,
		"/models/litter/x":                       http.StatusNotFound,
		"/compare?run=" + runA:                   http.StatusBadRequest,
		"/compare":                               http.StatusBadRequest,
	} {
		if resp, text := w.get(t, path); resp.StatusCode != want || !strings.Contains(text, "First page") {
			t.Errorf("%s: %s, want %d\n%s", path, resp.Status, want, text)
		}
	}
}

func TestArtifact_nothingThatWasLoggedRuns(t *testing.T) {
	w := newWorld(t)
	for _, tt := range []struct{ name, kind string }{
		{"plots/confusion%20matrix.png", "image/png"},
		{"notes.md", "text/plain; charset=utf-8"},
		{"model/MLmodel", "text/plain; charset=utf-8"},
		{"evil.html", "application/octet-stream"},
		{"weights.bin", "application/octet-stream"},
	} {
		resp, _ := w.get(t, "/runs/"+runA+"/artifacts/"+tt.name)
		if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != tt.kind {
			t.Errorf("%s: %s, %s", tt.name, resp.Status, resp.Header.Get("Content-Type"))
		}
		if !strings.HasPrefix(resp.Header.Get("Content-Security-Policy"), "sandbox") || resp.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: headers %v", tt.name, resp.Header)
		}
		if attached := strings.HasPrefix(resp.Header.Get("Content-Disposition"), "attachment"); attached != (tt.kind == "application/octet-stream") {
			t.Errorf("%s: attached %v", tt.name, attached)
		}
	}
	for _, path := range []string{"..%2f..%2f..%2f..%2fsecret.json", "%2e%2e/%2e%2e/%2e%2e/secret.json", "a/..%2f..%2fsecret.json", ""} {
		if resp, text := w.get(t, "/runs/"+runA+"/artifacts/"+path); resp.StatusCode == http.StatusOK && !strings.Contains(text, "<html") {
			t.Errorf("%s: %s %q", path, resp.Status, text)
		}
	}
}

func TestHas(t *testing.T) {
	p := pages.New(pages.Options{Bucket: blobmem.New("b"), Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	for path, want := range map[string]bool{"/": true, "/runs/x": true, "/assets/pages.css": true, "/loop": false, "/api/2.0/mlflow/runs/get": false, "/static-files": false} {
		if p.Has(path) != want {
			t.Errorf("%s: %v", path, !want)
		}
	}
}
