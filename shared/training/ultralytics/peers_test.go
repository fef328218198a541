//go:build peers

package ultralytics_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	program "github.com/litterloop/litterloop/models/ultralytics"
	"github.com/litterloop/litterloop/shared/blob/blobmem"
	"github.com/litterloop/litterloop/shared/detector"
	"github.com/litterloop/litterloop/shared/drawing"
	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/modelpackage"
	"github.com/litterloop/litterloop/shared/onnxruntime"
	"github.com/litterloop/litterloop/shared/tracking"
	"github.com/litterloop/litterloop/shared/tracking/server"
	"github.com/litterloop/litterloop/shared/training/job"
	"github.com/litterloop/litterloop/shared/training/ultralytics"
	"github.com/litterloop/litterloop/shared/venv"
)

// real returns a trainer with Ultralytics itself.
func real(t *testing.T) *ultralytics.Trainer {
	t.Helper()
	return ultralytics.New(ultralytics.Options{
		Python: interpreter,
		Open:   func(context.Context, string) (io.ReadCloser, error) { return nil, errors.New("no bucket here") },
		Log:    slog.New(slog.DiscardHandler),
	})
}

func interpreter(ctx context.Context) (string, error) {
	if p := os.Getenv("LITTERLOOP_PYTHON"); p != "" {
		return p, nil
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	return venv.Make(ctx, filepath.Join(cache, "litterloop"), "ultralytics", program.Requirements, os.Stderr)
}

// A training killed after its first epoch goes on from there, and the detector
// answers what Ultralytics answers.
func TestPeer_trainsIsKilledGoesOnAndIsServed(t *testing.T) {
	if err := onnxruntime.Init(); err != nil {
		t.Skipf("ONNX Runtime is missing: %v", err)
	}
	all := samples(t, 12)
	data := job.Data{Classes: drawing.Classes, Train: all[:8], Val: all[8:]}
	u := real(t)
	recipe, err := u.Complete(json.RawMessage(`{"weights": "", "epochs": 3, "batch_size": 4, "image_size": 96, "workers": 0, "options": {"plots": false}}`))
	if err != nil {
		t.Fatal(err)
	}
	k := &kept{}
	killed, kill := context.WithCancel(t.Context())
	h := k.hooks()
	save := h.Save
	h.Save = func(ctx context.Context, c []byte) error {
		defer kill()
		return save(ctx, c)
	}
	if _, err := u.Train(killed, data, recipe, nil, h); err == nil {
		t.Fatal("a killed training ended well")
	}
	if len(k.checkpoint) == 0 || len(k.steps) > 1 {
		t.Fatalf("checkpoint of %d bytes, steps %q", len(k.checkpoint), k.steps)
	}
	k.steps, k.notes = nil, nil
	m, err := u.Train(t.Context(), data, recipe, nil, k.hooks())
	if err != nil {
		t.Fatal(err)
	}
	if len(k.steps) != 2 || !strings.HasPrefix(k.steps[0], "2 3") || !strings.Contains(k.steps[0], "train/box_loss") {
		t.Errorf("went on with steps %q", k.steps)
	}
	compare(t, m, all)
	if err := m.Close(); err != nil {
		t.Error(err)
	}
	// Killed after its last epoch, before its model was kept.
	k.steps = nil
	again, err := u.Train(t.Context(), data, recipe, nil, k.hooks())
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if len(k.steps) > 0 {
		t.Errorf("a finished training went on with %q", k.steps)
	}
	compare(t, again, all)
}

// compare has the detector that serves answer as Ultralytics does.
func compare(t *testing.T, m job.Model, all []job.Sample) {
	t.Helper()
	d, err := detector.Open(m.ONNX, detector.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	boxes := 0
	for _, s := range all {
		photo, err := s.Photo(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		want, err := m.Predict(t.Context(), photo, job.Query{Conf: 0.001, IoU: 0.7, MaxDet: 300})
		if err != nil {
			t.Fatal(err)
		}
		got, err := d.Detect(t.Context(), photo, detector.Query{Conf: 0.001, IoU: 0.7, MaxDet: 300})
		if err != nil {
			t.Fatal(err)
		}
		golden := modelpackage.Golden{Conf: 0.001, IoU: 0.7, MaxDet: 300}
		diff := golden.Compare(modelpackage.GoldenPhoto{Detections: want}, got.Detections)
		boxes += len(want)
		if diff.Pixels > 0.05 || diff.Score > 1e-4 || len(diff.Faults) > 0 {
			t.Errorf("%s: %+v", s.Name, diff)
		}
	}
	if boxes == 0 {
		t.Error("nothing was found to compare by")
	}
}

func TestPeer_saysThatItTrainsFromScratch(t *testing.T) {
	u := real(t)
	recipe, err := u.Complete(json.RawMessage(`{"epochs": 1, "batch_size": 4, "image_size": 64, "workers": 0, "options": {"plots": false}}`))
	if err != nil {
		t.Fatal(err)
	}
	all := samples(t, 4)
	k := &kept{}
	m, err := u.Train(t.Context(), job.Data{Classes: drawing.Classes, Train: all}, recipe, nil, k.hooks())
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	// Where the hub is in reach there is nothing to say.
	for _, n := range k.notes {
		if !strings.Contains(n, "training from scratch") {
			t.Errorf("note %q", n)
		}
	}
}

// Where the hub is out of reach and weights are required, nothing is trained, and
// the job may be started again.
func TestPeer_trainsFromScratchOnlyWhereThatIsAllowed(t *testing.T) {
	u := real(t)
	recipe, err := u.Complete(json.RawMessage(`{"require_weights": true, "epochs": 1, "batch_size": 4, "image_size": 64, "workers": 0, "options": {"plots": false}}`))
	if err != nil {
		t.Fatal(err)
	}
	k := &kept{}
	m, err := u.Train(t.Context(), job.Data{Classes: drawing.Classes, Train: samples(t, 4)}, recipe, nil, k.hooks())
	if err == nil {
		m.Close()
		t.Skip("the hub is in reach here")
	}
	if _, permanent := errs.Reason(err); permanent || !strings.Contains(err.Error(), "are not to be had, and the recipe requires them") || len(k.steps) > 0 {
		t.Errorf("steps %q, %v", k.steps, err)
	}
}

func TestPeer_tellsWhatUltralyticsRefuses(t *testing.T) {
	page := filepath.Join(t.TempDir(), "page.pt")
	if err := os.WriteFile(page, []byte("<!DOCTYPE html><title>Sign in</title>"), 0o600); err != nil {
		t.Fatal(err)
	}
	for recipe, says := range map[string]string{
		`{"weights": "", "epochs": 1, "image_size": 64, "options": {"mosaik": 1}}`: "mosaik",
		`{"weights": "` + page + `", "epochs": 1, "image_size": 64, "workers": 0}`: "page.pt",
	} {
		u := real(t)
		complete, err := u.Complete(json.RawMessage(recipe))
		if err != nil {
			t.Fatal(err)
		}
		_, err = u.Train(t.Context(), job.Data{Classes: drawing.Classes, Train: samples(t, 2)}, complete, nil, (&kept{}).hooks())
		if code, _ := errs.Reason(err); code != ultralytics.Untrainable || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: code %q, %v; want one that says %q", recipe, code, err, says)
		}
	}
}

// The names that recipes may hold are networks that Ultralytics knows.
func TestPeer_everyModelIsKnownByName(t *testing.T) {
	python, err := interpreter(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const program = `
from ultralytics.nn.tasks import guess_model_scale, yaml_model_load
for family in ["yolov8", "yolo11", "yolo12", "yolo26"]:
    for size in "nsmlx":
        name = f"{family}{size}.yaml"
        assert yaml_model_load(name)["scale"] == size and guess_model_scale(name) == size, name
`
	if out, err := exec.CommandContext(t.Context(), python, "-c", program).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// Ultralytics' own callback logs to the job's run, and a tracking server that is
// away costs neither the training nor a point.
func TestPeer_tracksThroughAnOutage(t *testing.T) {
	t.Run("in the middle, answering that it is away", func(t *testing.T) {
		trackedThrough(t, false, 1, 2, func(w http.ResponseWriter) { http.Error(w, "away", http.StatusServiceUnavailable) })
	})
	t.Run("from before the start, hanging up", func(t *testing.T) {
		trackedThrough(t, true, 1, 1, func(http.ResponseWriter) { panic(http.ErrAbortHandler) })
	})
}

// trackedThrough trains for four epochs. The tracking server is away after the
// epochs first to last, and before them if so said.
func trackedThrough(t *testing.T, before bool, first, last int, refuse func(http.ResponseWriter)) {
	bucket := blobmem.New("models")
	store := tracking.New(bucket, time.Now)
	e, err := store.EnsureExperiment(t.Context(), "litter")
	if err != nil {
		t.Fatal(err)
	}
	k := &kept{}
	h := k.hooks()
	if _, err := store.CreateRun(t.Context(), e.ID, h.Run, "litter-1", nil); err != nil {
		t.Fatal(err)
	}
	if err := store.SetStatus(t.Context(), h.Run, tracking.Running); err != nil {
		t.Fatal(err)
	}
	var away atomic.Bool
	away.Store(before)
	api := server.New(server.Options{Bucket: bucket, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if away.Load() {
			refuse(w)
			return
		}
		api.ServeHTTP(w, r)
	}))
	defer s.Close()
	save, saved := h.Save, 0
	h.Save = func(ctx context.Context, c []byte) error { // after epochs 1 to 4
		saved++
		away.Store(first <= saved && saved <= last)
		return save(ctx, c)
	}
	t.Setenv("MLFLOW_TRACKING_URI", s.URL)
	u := real(t)
	recipe, err := u.Complete(json.RawMessage(`{"weights": "", "epochs": 4, "batch_size": 4, "image_size": 64, "workers": 0}`))
	if err != nil {
		t.Fatal(err)
	}
	all := samples(t, 8)
	m, err := u.Train(t.Context(), job.Data{Classes: drawing.Classes, Train: all[:6], Val: all[6:]}, recipe, nil, h)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
	run, err := store.Get(t.Context(), h.Run)
	if err != nil {
		t.Fatal(err)
	}
	if run.Params["imgsz"] != "64" || run.Status != tracking.Running {
		t.Errorf("parameters %v, status %s", run.Params, run.Status)
	}
	for _, key := range []string{"train/box_loss", "metrics/mAP50B"} {
		points, err := store.History(t.Context(), h.Run, key)
		if err != nil {
			t.Fatal(err)
		}
		steps := map[int64]int{}
		for _, p := range points {
			steps[p.Step]++
		}
		for step := range int64(4) {
			if steps[step] != 1 {
				t.Errorf("%s: step %d is there %d times", key, step, steps[step])
			}
		}
	}
	runs, _, err := store.SearchRuns(t.Context(), tracking.Query{Experiments: []string{e.ID}, View: tracking.All, Page: tracking.Page{Max: 10}})
	if err != nil || len(runs) != 1 {
		t.Errorf("%d runs, %v: want the job's alone", len(runs), err)
	}
}
