package main

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/litterloop/litterloop/cmd/litterloop/demo"
	"github.com/litterloop/litterloop/localcloud"
	"github.com/litterloop/litterloop/shared/onnxruntime"
)

// The local Cloud Run starts this program for its containers: under test, that
// is the test binary.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && slices.Contains([]string{"detector", "function", "trainer", "tracking", "placeholder", "demo"}, os.Args[1]) {
		main()
		return
	}
	os.Exit(m.Run())
}

// smallPolicy trains for seconds: the models are bad, but the loop is whole.
var smallPolicy = []byte(`
dataset: {seed: 1}
train:
  recipe: {steps: 40, continue_steps: 40, image_size: 128, width: 8, checkpoint_every: 10, validate_every: 0, warmup_steps: 5}
gate: {tolerance: 0.3} # models this small differ by chance
rollout: {hold: 100ms}
drift:
  window: {min_photos: 30, max_photos: 40}
  reference: {min_photos: 10}
retrain: {cooldown: 0s, first_checks: 1}
detector: {PREDICTION_LOG_FLUSH: 200ms}
`)

var smallSizes = demo.Sizes{First: 60, Second: 8, Traffic: 45}

func needRuntime(t *testing.T) {
	t.Helper()
	if err := onnxruntime.Init(); err != nil {
		t.Skipf("needs ONNX Runtime (`litterloop doctor --fix` fetches it): %v", err)
	}
}

func smallDemo(ctx context.Context, t *testing.T, state string, faults localcloud.Faults) (demo.Summary, error) {
	t.Helper()
	out, err := os.OpenFile(filepath.Join(t.TempDir(), "progress"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if t.Failed() {
			text, _ := os.ReadFile(out.Name())
			t.Logf("%s", text)
		}
		out.Close()
	}()
	log := slog.New(slog.DiscardHandler)
	slog.SetDefault(log)
	sum, err := demo.Run(ctx, demo.Options{State: state, Seed: 1, Sizes: smallSizes, Policy: smallPolicy, Faults: faults, Log: log, Out: out})
	if err != nil {
		text, _ := os.ReadFile(out.Name())
		t.Logf("%s", text)
	}
	return sum, err
}

// ending is what must not depend on what happened on the way.
type ending struct {
	Dataset demo.DatasetSummary
	Models  []demo.ModelSummary
	NewKind demo.NewKind
	Retrain string
	Traffic map[string]int
}

func end(s demo.Summary) ending {
	return ending{s.Dataset, s.Models, s.NewKind, s.Retrain.Decision, s.Serving.Traffic}
}

func TestDemo_closesTheLoopAndTellsTheSameAgain(t *testing.T) {
	needRuntime(t)
	state := t.TempDir()
	first, err := smallDemo(t.Context(), t, state, localcloud.Faults{})
	if err != nil {
		t.Fatal(err)
	}
	if !first.Closed || first.Ending != demo.Replaced || len(first.Models) != 2 || first.Drift.Verdict != "drift" || first.Retrain.Decision != "fired" {
		t.Errorf("the loop did not close: %+v", first)
	}
	checkTraces(t, state)
	checkProject(t, state)
	again, err := smallDemo(t.Context(), t, state, localcloud.Faults{})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(end(first), end(again)); d != "" {
		t.Errorf("started again, it ends otherwise (-first +again):\n%s", d)
	}
	faulty, err := smallDemo(t.Context(), t, t.TempDir(), localcloud.Faults{Seed: 7, Duplicate: 0.3, Reorder: 0.3, Unavailable: 0.03, LoseAnswer: 0.03})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(end(first), end(faulty)); d != "" {
		t.Errorf("with faults, it ends otherwise (-without +with):\n%s", d)
	}
}

func TestDemo_aDirectoryThatWillNotDoLeavesNoMark(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state")
	_, err := demo.Run(t.Context(), demo.Options{State: state, Data: t.TempDir(), Log: slog.New(slog.DiscardHandler), Out: os.Stderr})
	if err == nil {
		t.Fatal("an empty directory was taken")
	}
	if _, err := os.Stat(state); !os.IsNotExist(err) {
		t.Errorf("the state directory exists: %v", err)
	}
}
