package embedded

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/imaging"
	"github.com/litterloop/litterloop/shared/modelpackage"
	"github.com/litterloop/litterloop/shared/training/embedded/network"
	"github.com/litterloop/litterloop/shared/training/embedded/session"
)

func train(t *testing.T, data Data, r Recipe, h Hooks) *Model {
	t.Helper()
	m, err := Train(t.Context(), data, r, h)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

func TestTrain_learnsSquares(t *testing.T) {
	needRuntime(t)
	data := Data{Classes: squareClasses, Train: squares(t, 1, 40), Val: squares(t, 2, 20)}
	r := smallRecipe(200)
	r.ValidateEvery = 100
	var steps []Step
	var validations []Validation
	m := train(t, data, r, Hooks{
		Step:       func(s Step) { steps = append(steps, s) },
		Validation: func(_ context.Context, v Validation) error { validations = append(validations, v); return nil },
	})
	if m.Metrics.MAP50 < 0.8 || m.Metrics.MAP50_95 < 0.4 {
		t.Errorf("metrics %+v, want mAP50 of at least 0.8", m.Metrics)
	}
	if m.Metrics.Photos != 20 || len(m.Metrics.PerClass) != 2 {
		t.Errorf("measured %d photos, %d classes, want 20 and 2", m.Metrics.Photos, len(m.Metrics.PerClass))
	}
	if len(steps) != 200 || steps[199].Step != 200 || steps[199].Total != 200 || steps[199].Epoch != 20 {
		t.Errorf("%d steps reported, the last %+v", len(steps), steps[len(steps)-1])
	}
	if len(validations) != 2 || validations[0].Step != 100 || validations[0].Final || !validations[1].Final {
		t.Errorf("validations %+v, want one at step 100 and the final one", validations)
	}
	if diff := cmp.Diff(m.Metrics, validations[1].Metrics); diff != "" {
		t.Errorf("the final validation is not the model's (-model +validation):\n%s", diff)
	}
	t.Run("the exported model agrees with Predict", func(t *testing.T) { checkExport(t, m, data.Val) })
}

// checkExport serves the exported model as any detector would and compares.
func checkExport(t *testing.T, m *Model, samples []Sample) {
	s, err := session.Open(m.ONNX, []string{network.InputName}, []string{network.OutputName}, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	total := 0
	for _, sample := range samples {
		photo, _ := sample.Load(t.Context())
		want, err := m.Predict(t.Context(), photo, 0.25, 0.7, 300)
		if err != nil {
			t.Fatal(err)
		}
		got := serve(t, s, m, photo)
		if len(got) != len(want) {
			t.Fatalf("%s: %d detections served, the trainer finds %d", sample.Name, len(got), len(want))
		}
		for i := range want {
			if got[i].ClassID != want[i].ClassID || math.Abs(got[i].Confidence-want[i].Confidence) > 1e-4 {
				t.Errorf("%s: served %+v, the trainer finds %+v", sample.Name, got[i], want[i])
			}
			for k := range want[i].Box {
				if math.Abs(got[i].Box[k]-want[i].Box[k]) > 0.5 {
					t.Errorf("%s: served %+v, the trainer finds %+v", sample.Name, got[i], want[i])
				}
			}
		}
		total += len(want)
	}
	if total == 0 {
		t.Error("no detection to compare")
	}
}

func serve(t *testing.T, s *session.Session, m *Model, photo []byte) []modelpackage.Detection {
	im, err := imaging.Decode(photo)
	if err != nil {
		t.Fatal(err)
	}
	g := imaging.FitRect(im.W, im.H, m.ImageSize, m.ImageSize, 32)
	input := make([]float32, 3*g.InputW*g.InputH)
	g.Letterbox(input, im)
	x, err := session.NewTensor(input, 1, 3, g.InputH, g.InputW)
	if err != nil {
		t.Fatal(err)
	}
	defer x.Release()
	out, err := s.Run(x)
	if err != nil {
		t.Fatal(err)
	}
	defer session.Release(out)
	n := len(out[0].Data) / (4 + len(m.Classes))
	var found []network.Detection
	for a := range n {
		at := func(row int) float32 { return out[0].Data[row*n+a] }
		class := 0
		for c := range m.Classes {
			if at(4+c) > at(4+class) {
				class = c
			}
		}
		if at(4+class) > 0.25 {
			found = append(found, network.Detection{Class: class, Score: at(4 + class), X1: at(0) - at(2)/2, Y1: at(1) - at(3)/2, X2: at(0) + at(2)/2, Y2: at(1) + at(3)/2})
		}
	}
	for i := range found { // by score, plainly
		for j := i + 1; j < len(found); j++ {
			if found[j].Score > found[i].Score {
				found[i], found[j] = found[j], found[i]
			}
		}
	}
	var ds []modelpackage.Detection
	for _, d := range network.Suppress(found, 0.7, 300) {
		x1, y1, x2, y2 := g.Unmap(d.X1, d.Y1, d.X2, d.Y2)
		ds = append(ds, modelpackage.Detection{ClassID: d.Class, Confidence: float64(d.Score), Box: [4]float64{float64(x1), float64(y1), float64(x2), float64(y2)}})
	}
	return ds
}

func TestTrain_isReproducible(t *testing.T) {
	needRuntime(t)
	data := Data{Classes: squareClasses, Train: squares(t, 1, 10)}
	a, b := train(t, data, smallRecipe(8), Hooks{}), train(t, data, smallRecipe(8), Hooks{})
	if !bytes.Equal(a.Checkpoint, b.Checkpoint) || !bytes.Equal(a.ONNX, b.ONNX) {
		t.Error("the same recipe and data gave two models")
	}
	other := smallRecipe(8)
	other.Seed++
	if c := train(t, data, other, Hooks{}); bytes.Equal(a.ONNX, c.ONNX) {
		t.Error("another seed gave the same model")
	}
}

// Stopped at any step, by cancellation or without warning, and begun again, a
// training ends with the weights of one that was left alone.
func TestTrain_resumes(t *testing.T) {
	needRuntime(t)
	const steps = 9
	data := Data{Classes: squareClasses, Train: squares(t, 1, 7), Val: squares(t, 2, 2)}
	recipe := smallRecipe(steps)
	recipe.CheckpointEvery, recipe.ValidateEvery = 4, 3
	want := train(t, data, recipe, Hooks{})
	stop := 1 + rand.IntN(steps-1)
	for _, c := range []struct {
		name string
		// interrupt runs a training that ends after step stop.
		interrupt func(m *memory) error
	}{
		{"after being cancelled", func(m *memory) error {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			h := m.hooks()
			h.Step = func(s Step) {
				if s.Step == stop {
					cancel()
				}
			}
			_, err := Train(ctx, data, recipe, h)
			if !errors.Is(err, context.Canceled) {
				return fmt.Errorf("a cancelled training answered %v, want context.Canceled", err)
			}
			return nil
		}},
		{"after being cancelled while it measured", func(m *memory) error {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			h := m.hooks()
			h.Validation = func(ctx context.Context, _ Validation) error { cancel(); return ctx.Err() }
			if _, err := Train(ctx, data, recipe, h); !errors.Is(err, context.Canceled) {
				return fmt.Errorf("a cancelled training answered %v, want context.Canceled", err)
			}
			return nil
		}},
		{"after being killed", func(m *memory) error {
			h := m.hooks()
			// What was saved before the kill is all that is left.
			h.Step = func(s Step) {
				if s.Step == stop {
					panic("killed")
				}
			}
			defer func() { _ = recover() }()
			_, err := Train(t.Context(), data, recipe, h)
			return fmt.Errorf("the training lived on: %v", err)
		}},
	} {
		t.Run(fmt.Sprintf("%s at step %d", c.name, stop), func(t *testing.T) {
			var m memory
			if err := c.interrupt(&m); err != nil {
				t.Fatal(err)
			}
			first := 0
			h := m.hooks()
			h.Step = func(s Step) {
				if first == 0 {
					first = s.Step
				}
			}
			got := train(t, data, recipe, h)
			if !bytes.Equal(want.Checkpoint, got.Checkpoint) || !bytes.Equal(want.ONNX, got.ONNX) {
				t.Errorf("resumed at step %d, the training ended with other weights", first)
			}
			// Begun once more there is nothing left to do, and the model is the same.
			h.Step = func(s Step) { t.Errorf("step %d was done again", s.Step) }
			if again := train(t, data, recipe, h); !bytes.Equal(want.ONNX, again.ONNX) {
				t.Error("a finished training, begun again, made another model")
			}
		})
	}
}

func TestTrain_goesOnFromAPreviousModel(t *testing.T) {
	needRuntime(t)
	first := train(t, Data{Classes: squareClasses, Train: squares(t, 1, 40)}, smallRecipe(150), Hooks{})
	// A class has come in before the others, which thereby have other numbers.
	grown := Data{Classes: []string{"green", "red", "blue"}, Start: first.Checkpoint}
	shift := func(samples []Sample) []Sample {
		for i := range samples {
			for j := range samples[i].Boxes {
				samples[i].Boxes[j].Class++
			}
		}
		return samples
	}
	grown.Train, grown.Val = shift(squares(t, 3, 20)), shift(squares(t, 4, 20))
	r := smallRecipe(1)
	r.ContinueLearningRate = 1e-9 // nothing is learned now
	m := train(t, grown, r, Hooks{})
	if m.Metrics.MAP50 < 0.7 {
		t.Errorf("mAP50 %.3f after starting from a model that knows these classes, want 0.7 or more", m.Metrics.MAP50)
	}
}

func TestFits(t *testing.T) {
	needRuntime(t)
	r := smallRecipe(1)
	m := train(t, Data{Classes: squareClasses, Train: squares(t, 1, 2)}, r, Hooks{})
	altered := func(change func(*checkpoint)) []byte {
		c, err := parseCheckpoint(m.Checkpoint)
		if err != nil {
			t.Fatal(err)
		}
		change(c)
		data, err := c.marshal()
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	wide := r
	wide.Width *= 2
	for _, c := range []struct {
		name  string
		start []byte
		r     Recipe
		fits  bool
	}{
		{"the same network", m.Checkpoint, r, true},
		{"another width", m.Checkpoint, wide, false},
		{"a layer of another name", altered(func(c *checkpoint) { c.Layers[0].Name = "stem of old" }), r, false},
		{"a layer of another shape", altered(func(c *checkpoint) { c.Layers[0].Shape = []int{c.Layers[0].size()} }), r, false},
		{"damage", m.Checkpoint[:len(m.Checkpoint)-1], r, false},
	} {
		if err := Fits(Data{Start: c.start, Classes: append([]string{"glass"}, squareClasses...)}, c.r); (err == nil) != c.fits {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestTrain_takesUnusualData(t *testing.T) {
	needRuntime(t)
	plain := func(w, h int, boxes ...Box) Sample {
		return Sample{Name: fmt.Sprintf("%dx%d", w, h), Load: encoded(t, image.NewRGBA(image.Rect(0, 0, w, h))), Boxes: boxes}
	}
	var thousand []Box
	for i := range 1000 {
		x, y := float64(i%40)*2, float64(i/40)*3
		thousand = append(thousand, Box{0, x, y, x + 2, y + 3})
	}
	for _, c := range []struct {
		name  string
		train []Sample
	}{
		{"one photo", squares(t, 1, 1)},
		{"no boxes at all", []Sample{plain(90, 60), plain(60, 90)}},
		{"boxes of one pixel", []Sample{plain(96, 96, Box{0, 5, 5, 6, 6}, Box{1, 95, 95, 96, 96})}},
		{"a box of the whole photo", []Sample{plain(96, 96, Box{0, 0, 0, 96, 96})}},
		{"a box half outside", []Sample{plain(96, 96, Box{0, -40, -40, 40, 40})}},
		{"a thousand boxes", []Sample{plain(96, 96, thousand...)}},
		{"a photo of one pixel", []Sample{plain(1, 1)}},
		{"a very wide photo", []Sample{plain(2000, 3, Box{0, 100, 0, 900, 3})}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := train(t, Data{Classes: squareClasses, Train: c.train, Val: c.train}, smallRecipe(3), Hooks{})
			photo, _ := c.train[0].Load(t.Context())
			if _, err := m.Predict(t.Context(), photo, 0.001, 0.7, 300); err != nil {
				t.Error("predict:", err)
			}
		})
	}
}

func TestTrain_refuses(t *testing.T) {
	needRuntime(t)
	good := squares(t, 1, 2)
	other := train(t, Data{Classes: squareClasses, Train: good}, smallRecipe(1), Hooks{})
	wide := smallRecipe(1)
	wide.Width = 6
	broken := Sample{Name: "IMG_0815.jpg", Load: func(context.Context) ([]byte, error) { return []byte("not a photo"), nil }}
	data := func(change func(*Data)) Data {
		d := Data{Classes: squareClasses, Train: good}
		change(&d)
		return d
	}
	for _, c := range []struct {
		name   string
		data   Data
		recipe Recipe
		hooks  Hooks
		code   errs.Code
		says   string
	}{
		{"no classes", data(func(d *Data) { d.Classes = nil }), smallRecipe(1), Hooks{}, InvalidData, "no class"},
		{"a class twice", data(func(d *Data) { d.Classes = []string{"a", "a"} }), smallRecipe(1), Hooks{}, InvalidData, `"a" twice`},
		{"nothing to train on", data(func(d *Data) { d.Train = nil }), smallRecipe(1), Hooks{}, InvalidData, "no photo"},
		{"a class out of range", data(func(d *Data) { d.Train = []Sample{{Name: "x.jpg", Boxes: []Box{{2, 0, 0, 1, 1}}}} }), smallRecipe(1), Hooks{}, InvalidData, "x.jpg"},
		{"an empty box", data(func(d *Data) { d.Train = []Sample{{Name: "x.jpg", Boxes: []Box{{0, 5, 5, 5, 9}}}} }), smallRecipe(1), Hooks{}, InvalidData, "no area"},
		{"a box of NaN", data(func(d *Data) { d.Train = []Sample{{Name: "x.jpg", Boxes: []Box{{0, math.NaN(), 5, 5, 9}}}} }), smallRecipe(1), Hooks{}, InvalidData, "no area"},
		{"a photo that is none", data(func(d *Data) { d.Train = append(d.Train[:1:1], broken) }), smallRecipe(1), Hooks{}, imaging.Unreadable, "IMG_0815.jpg"},
		{"a held-out photo that is none", data(func(d *Data) { d.Val = []Sample{broken} }), smallRecipe(1), Hooks{}, imaging.Unreadable, "IMG_0815.jpg"},
		{"a recipe of many faults", data(func(*Data) {}), Recipe{}, Hooks{}, InvalidRecipe, "image_size"},
		{"a start that is no checkpoint", data(func(d *Data) { d.Start = []byte("junk") }), smallRecipe(1), Hooks{}, InvalidCheckpoint, "another version"},
		{"a start of another width", data(func(d *Data) { d.Start = other.Checkpoint }), wide, Hooks{}, InvalidCheckpoint, "width"},
		{"a checkpoint of another training", data(func(*Data) {}), smallRecipe(2), (&memory{other.Checkpoint}).hooks(), InvalidCheckpoint, "another training"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Train(t.Context(), c.data, c.recipe, c.hooks)
			if code, _ := errs.Reason(err); code != c.code || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %v (code %q), want one of code %q that says %q", err, code, c.code, c.says)
			}
		})
	}
	t.Run("a photo that cannot be loaded now is worth another try", func(t *testing.T) {
		away := Sample{Name: "a.jpg", Load: func(context.Context) ([]byte, error) { return nil, errs.Unavailable }}
		_, err := Train(t.Context(), data(func(d *Data) { d.Train = []Sample{away} }), smallRecipe(1), Hooks{})
		if _, permanent := errs.Reason(err); permanent || !errors.Is(err, errs.Unavailable) || !strings.Contains(err.Error(), "a.jpg") {
			t.Errorf("error %v, want a transient one that names the photo", err)
		}
	})
}
