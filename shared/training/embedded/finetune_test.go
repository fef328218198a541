package embedded

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/training/embedded/pretrained"
)

// startingModel is a detector of the project's own that has learned one class of
// squares, as the ONNX that anybody could have sent.
func startingModel(t *testing.T) []byte {
	t.Helper()
	samples := squares(t, 1, 24)
	for i := range samples {
		for k := range samples[i].Boxes {
			samples[i].Boxes[k].Class = 0
		}
	}
	r := smallRecipe(150)
	return train(t, Data{Classes: []string{"square"}, Train: samples}, r, Hooks{}).ONNX
}

func adaptRecipe(steps int) Recipe {
	r := DefaultFinetune()
	r.Steps, r.ContinueSteps, r.BatchSize, r.ImageSize, r.ServeSize = steps, steps, 4, 96, 0
	r.LearningRate, r.WarmupSteps, r.CheckpointEvery, r.ValidateEvery, r.Threads = 5e-3, 5, 0, 0, 2
	return r
}

func TestFinetune_beginsAtWhatTheDetectorKnewAndLearnsClasses(t *testing.T) {
	needRuntime(t)
	start := startingModel(t)
	data := Data{Classes: squareClasses, Train: squares(t, 1, 24), Val: squares(t, 2, 12), Pretrained: start}
	for _, cut := range []pretrained.Cut{pretrained.Neck, pretrained.Backbone} {
		t.Run(string(cut), func(t *testing.T) {
			r := adaptRecipe(1)
			r.Cut, r.LearningRate = string(cut), 1e-9
			floor := train(t, data, r, Hooks{}).Metrics
			r = adaptRecipe(120)
			r.Cut = string(cut)
			m := train(t, data, r, Hooks{})
			t.Logf("mAP50 %.3f before, %.3f after", floor.MAP50, m.Metrics.MAP50)
			// Where squares are it knew; which is which it can only guess.
			if floor.Recall100 < 0.2 || m.Metrics.MAP50 < 0.9 || m.Metrics.MAP50_95 < floor.MAP50_95+0.05 {
				t.Errorf("before %+v, after %+v", floor, m.Metrics)
			}
			checkExport(t, m, data.Val)
		})
	}
}

func TestFinetune_isReproducibleAndResumes(t *testing.T) {
	needRuntime(t)
	data := Data{Classes: squareClasses, Train: squares(t, 1, 8), Val: squares(t, 2, 4), Pretrained: startingModel(t)}
	for _, s := range data.Train {
		for i, b := range s.Boxes { // small enough for tiles
			s.Boxes[i].X2, s.Boxes[i].Y2 = b.X1+8, b.Y1+8
		}
	}
	r := adaptRecipe(12)
	r.CheckpointEvery = 5
	plain := resumesTheSame(t, data, r)
	r.Augment.Tiles = 0.5
	if tiles := resumesTheSame(t, data, r); bytes.Equal(plain, tiles) {
		t.Error("tiles change nothing")
	}
}

// resumesTheSame trains whole, again, and in two parts; it returns the
// checkpoint, the same each time.
func resumesTheSame(t *testing.T, data Data, r Recipe) []byte {
	t.Helper()
	whole := train(t, data, r, Hooks{})
	if again := train(t, data, r, Hooks{}); !bytes.Equal(whole.Checkpoint, again.Checkpoint) {
		t.Error("the same training gave other weights")
	}
	var store memory
	hooks := store.hooks()
	ctx, kill := context.WithCancel(t.Context())
	saved := hooks.SaveCheckpoint
	hooks.SaveCheckpoint = func(ctx context.Context, c []byte) error {
		if len(store.newest) > 0 {
			return errors.New("killed: nothing more is saved")
		}
		kill()
		return saved(ctx, c)
	}
	if _, err := Train(ctx, data, r, hooks); err == nil {
		t.Fatal("the killed training ended well")
	}
	if resumed := train(t, data, r, store.hooks()); !bytes.Equal(whole.Checkpoint, resumed.Checkpoint) {
		t.Error("the resumed training gave other weights")
	}
	return whole.Checkpoint
}

func TestFinetune_goesOnFromItsOwnModel(t *testing.T) {
	needRuntime(t)
	data := Data{Classes: squareClasses, Train: squares(t, 1, 8), Pretrained: startingModel(t)}
	first := train(t, data, adaptRecipe(10), Hooks{})
	data.Start = first.Checkpoint
	r := adaptRecipe(1)
	r.ContinueSteps, r.ContinueLearningRate = 1, 1e-9
	if err := Fits(data, r); err != nil {
		t.Fatal(err)
	}
	second := train(t, data, r, Hooks{})
	a, err := parseCheckpoint(first.Checkpoint)
	if err != nil {
		t.Fatal(err)
	}
	b, err := parseCheckpoint(second.Checkpoint)
	if err != nil {
		t.Fatal(err)
	}
	for i := range a.Average {
		if math.Abs(float64(a.Average[i]-b.Average[i])) > 1e-5 {
			t.Fatalf("weight %d: %g, then %g", i, a.Average[i], b.Average[i])
		}
	}
	data.Pretrained = append(bytes.Clone(data.Pretrained), 0x72, 0x01, 'x') // another file
	if code, _ := errs.Reason(Fits(data, r)); code != InvalidCheckpoint {
		t.Errorf("it goes on from a model that began with another detector: %v", Fits(data, r))
	}
}

func TestFinetune_stopsWhenTheTimeIsSpent(t *testing.T) {
	needRuntime(t)
	data := Data{Classes: squareClasses, Train: squares(t, 1, 4), Val: squares(t, 2, 2), Pretrained: startingModel(t)}
	r := adaptRecipe(1)
	r.Seconds = 60
	now := time.Duration(0)
	m := train(t, data, r, Hooks{Clock: func() time.Duration { now += time.Second; return now }})
	if m.Steps < 1 || m.Steps > 60 {
		t.Errorf("%d steps in 60 readings of the clock", m.Steps)
	}
	r.CPUSeconds = 5
	if _, err := Train(t.Context(), data, r, Hooks{}); err == nil || !strings.Contains(err.Error(), "budget") {
		t.Errorf("two budgets: %v", err)
	}
	r.Seconds = 0
	if _, err := Train(t.Context(), data, r, Hooks{}); err == nil || !strings.Contains(err.Error(), "not possible here") {
		t.Errorf("a budget and no clock: %v", err)
	}
}

func TestTrain_stopsEarlyWhenNothingGetsBetter(t *testing.T) {
	needRuntime(t)
	data := Data{Classes: squareClasses, Train: squares(t, 1, 4), Val: squares(t, 2, 2)}
	r := smallRecipe(60)
	r.LearningRate, r.ValidateEvery, r.Patience = 1e-9, 2, 3
	if m := train(t, data, r, Hooks{}); m.Steps != 6 && m.Steps != 8 {
		t.Errorf("stopped after %d steps, three measurements without a better one", m.Steps)
	}
}

// Whatever people drop is trained on, or refused in words.
func TestFinetune_takesUnusualData(t *testing.T) {
	needRuntime(t)
	start := startingModel(t)
	grey := image.NewRGBA(image.Rect(0, 0, 96, 96))
	draw.Draw(grey, grey.Rect, image.NewUniform(color.Gray{90}), image.Point{}, draw.Src)
	sample := func(boxes ...Box) Sample { return Sample{Name: "grey", Load: encoded(t, grey), Boxes: boxes} }
	crowd := make([]Box, 10_000)
	for i := range crowd {
		x, y := float64(i%100)*0.9, float64(i/100)*0.9
		crowd[i] = Box{i % 2, x, y, x + 4, y + 4}
	}
	for name, samples := range map[string][]Sample{
		"one photo":                 {sample(Box{0, 10, 10, 50, 50})},
		"one class":                 {sample(Box{0, 10, 10, 50, 50}), sample(Box{0, 30, 10, 50, 50})},
		"all photos empty":          {sample(), sample()},
		"boxes of one pixel":        {sample(Box{0, 10, 10, 11, 11}, Box{1, 95, 95, 96, 96})},
		"10,000 boxes on one photo": {sample(crowd...)},
	} {
		t.Run(name, func(t *testing.T) {
			m := train(t, Data{Classes: squareClasses, Train: samples, Val: samples, Pretrained: start}, adaptRecipe(2), Hooks{})
			if len(m.ONNX) == 0 || math.IsNaN(m.Metrics.MAP50) {
				t.Errorf("metrics %+v", m.Metrics)
			}
		})
	}
	t.Run("a photo gone since validation", func(t *testing.T) {
		gone := fmt.Errorf("%s: %w", "grey.png", errs.NotFound)
		s := sample()
		s.Load = func(context.Context) ([]byte, error) { return nil, gone }
		_, err := Train(t.Context(), Data{Classes: squareClasses, Train: []Sample{s}, Pretrained: start}, adaptRecipe(2), Hooks{})
		if !errors.Is(err, errs.NotFound) || !strings.Contains(err.Error(), "grey") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("no disk for the checkpoint", func(t *testing.T) {
		full := errors.New("no space left on device")
		_, err := Train(t.Context(), Data{Classes: squareClasses, Train: []Sample{sample()}, Pretrained: start}, adaptRecipe(2), Hooks{
			SaveCheckpoint: func(context.Context, []byte) error { return full },
		})
		if !errors.Is(err, full) {
			t.Errorf("got %v", err)
		}
	})
}

// YOLOX-nano on real photos: a few steps leave the floor behind them and change
// nothing between trainer and export.
func TestFinetune_realDetectorOnRealPhotos(t *testing.T) {
	needRuntime(t)
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	start, err := os.ReadFile(filepath.Join("..", "..", "..", "..", "shared", "data", "models", "apache", "yolox_nano.onnx"))
	if err != nil {
		t.Skip("needs a real detector beside the repository:", err)
	}
	data := taco(t)
	data.Pretrained, data.Classes = start, []string{"litter"}
	for _, part := range [][]Sample{data.Train, data.Val} {
		for i := range part {
			for k := range part[i].Boxes {
				part[i].Boxes[k].Class = 0
			}
		}
	}
	data.Train, data.Val = data.Train[:12], data.Val[:6]
	r := DefaultFinetune()
	r.Steps, r.ImageSize, r.ServeSize, r.CheckpointEvery, r.ValidateEvery = 6, 256, 0, 0, 0
	m := train(t, data, r, Hooks{})
	if m.Metrics.MAP50 < 0.15 || m.Licence != "Apache-2.0" {
		t.Errorf("licence %q, metrics %+v", m.Licence, m.Metrics)
	}
	checkExport(t, m, data.Val)
}
