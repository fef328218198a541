//go:build peers

package server_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/litterloop/litterloop/shared/blob/blobmem"
	"github.com/litterloop/litterloop/shared/modelpackage"
	"github.com/litterloop/litterloop/shared/registry"
	"github.com/litterloop/litterloop/shared/tracking"
	"github.com/litterloop/litterloop/shared/tracking/server"
)

// python is the interpreter of the virtual environment with MLflow's client.
func python(t *testing.T) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	p := filepath.Join(cache, "litterloop", "peers-mlflow", "bin", "python")
	if _, err := os.Stat(p); err != nil {
		t.Skipf("no MLflow: make a virtual environment at %s and install mlflow-skinny==3.17.2 pandas numpy onnx onnxruntime pillow", filepath.Dir(filepath.Dir(p)))
	}
	return p
}

// The unmodified client, through its whole surface, has the results that it has
// with MLflow's own server.
func TestPeers_clientDrivesTheServer(t *testing.T) {
	contract, err := filepath.Abs(filepath.Join("..", "..", "..", "..", "shared", "contracts", "mlflow"))
	if err != nil {
		t.Fatal(err)
	}
	script := filepath.Join(contract, "drive.py")
	expected, err := os.ReadFile(filepath.Join(contract, "drive.expected.json"))
	if err != nil {
		t.Skipf("no recorded results: %v", err)
	}
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), python(t), script)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "MLF_URL="+newServer(t).URL)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var want [][2]string
	if err := json.Unmarshal(expected, &want); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(dir, "client", "ids.json"))
	if err != nil {
		t.Fatal(err)
	}
	var got struct{ Res [][2]string }
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	for i, r := range got.Res {
		kind, _, _ := strings.Cut(r[1], ":")
		// The newest version lies on gs://, where the client goes by itself: it
		// fails for want of Google's library, or of the bucket.
		if r[0] == "load_model_latest" && kind == "ERR ModuleNotFoundError" {
			kind = "ERR RetryError"
		}
		if strings.HasPrefix(kind, "ERR") {
			got.Res[i][1] = kind
		}
	}
	if diff := cmp.Diff(want, got.Res); diff != "" {
		t.Errorf("(-MLflow +ours):\n%s", diff)
	}
}

// What the loop registers, people load by its alias and serve; runs that the
// loop writes and runs of the client are the same to both.
func TestPeers_loadsTheLoopsModels(t *testing.T) {
	data := filepath.Join("..", "..", "..", "..", "shared", "data")
	model, err := os.ReadFile(filepath.Join(data, "parity", "yolo11n_dynamic.onnx"))
	if err != nil {
		t.Skipf("no model: %v", err)
	}
	photos, err := filepath.Glob(filepath.Join(data, "taco_subset", "batch_1", "*.[jJ][pP][gG]"))
	if err != nil || len(photos) == 0 {
		t.Skip("no photo")
	}
	photo, err := filepath.Abs(photos[0])
	if err != nil {
		t.Fatal(err)
	}
	b := blobmem.New("models")
	store, models := tracking.New(b, time.Now), registry.New(b, time.Now)
	e, err := store.EnsureExperiment(t.Context(), "litter")
	if err != nil {
		t.Fatal(err)
	}
	r, err := store.CreateRun(t.Context(), e.ID, "0123456789abcdef0123456789abcdef", "by the loop", nil)
	if err != nil {
		t.Fatal(err)
	}
	at := tracking.ArtifactPrefix(e.ID, r.ID) + "model/"
	card, err := modelpackage.Write(t.Context(), b, at, modelpackage.Content{
		Card: modelpackage.Card{Name: "litter", Run: r.ID, Created: time.Now()}, Model: model,
		Golden: modelpackage.Golden{Photos: []modelpackage.GoldenPhoto{{File: "a.jpg"}}}, Photos: map[string][]byte{"a.jpg": {1}},
	})
	if err != nil {
		t.Fatal(err)
	}
	v, err := models.Create(t.Context(), registry.Version{Model: "litter", Run: r.ID, Package: at, SHA256: card.SHA256})
	if err != nil {
		t.Fatal(err)
	}
	if err := models.SetAlias(t.Context(), "litter", registry.Staging, v.Version, "test", "it is the first"); err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(server.New(server.Options{Bucket: b, Now: time.Now, Log: slog.New(slog.DiscardHandler)}))
	defer s.Close()
	cmd := exec.CommandContext(t.Context(), python(t), filepath.Join("testdata", "load.py"), photo, e.ID, r.ID)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(cmd.Path)+":"+os.Getenv("PATH"), "MLFLOW_TRACKING_URI="+s.URL, "MLFLOW_DISABLE_TELEMETRY=true", "GIT_PYTHON_REFRESH=quiet")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, &stderr)
	}
	var got struct {
		Boxes, Served     any
		Nodes             int
		Experiments, Runs string
	}
	out = out[bytes.LastIndexByte(out, '\n')+1:] // after what mlflow prints of its own
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if got.Nodes == 0 || got.Boxes == nil || got.Served == nil || !strings.Contains(got.Experiments, "litter") || !strings.Contains(got.Runs, r.ID) {
		t.Errorf("%s", out)
	}
	if points, err := store.Metrics(t.Context(), r.ID); err != nil || len(points) != 1 || points[0].Step != 7 {
		t.Errorf("the client's metric: %+v, %v", points, err)
	}
}
