package embedded

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"math/rand/v2"
	"testing"

	"github.com/litterloop/litterloop/shared/drawing"
	"github.com/litterloop/litterloop/shared/onnxruntime"
)

func needRuntime(t testing.TB) {
	t.Helper()
	if err := onnxruntime.Init(); err != nil {
		t.Skip("needs ONNX Runtime:", err)
	}
}

// drawn is a set of drawn photos as samples.
func drawn(t testing.TB, seed uint64, n int, kind drawing.Kind) []Sample {
	t.Helper()
	photos, err := drawing.Set(seed, n, kind)
	if err != nil {
		t.Fatal(err)
	}
	samples := make([]Sample, n)
	for i, p := range photos {
		samples[i] = Sample{Name: p.Name, Load: func(context.Context) ([]byte, error) { return p.JPEG, nil }}
		for _, b := range p.Boxes {
			samples[i].Boxes = append(samples[i].Boxes, Box(b))
		}
	}
	return samples
}

// squares are photos of one red or blue square or two on grey: what the
// smallest network learns in seconds.
func squares(t testing.TB, seed uint64, n int) []Sample {
	t.Helper()
	const side = 96
	samples := make([]Sample, n)
	for i := range samples {
		r := rand.New(rand.NewPCG(seed, uint64(i)))
		im := image.NewRGBA(image.Rect(0, 0, side, side))
		for p := 0; p < len(im.Pix); p += 4 {
			g := byte(90 + r.IntN(60))
			im.Pix[p], im.Pix[p+1], im.Pix[p+2], im.Pix[p+3] = g, g, g, 255
		}
		samples[i].Name = fmt.Sprintf("squares-%d-%d", seed, i)
		for k := range 1 + r.IntN(2) {
			class, w := r.IntN(2), 16+r.IntN(16)
			x, y := 48*k+r.IntN(48-w), r.IntN(side-w)
			colour := [...]color.RGBA{{220, 30, 30, 255}, {30, 30, 220, 255}}[class]
			draw.Draw(im, image.Rect(x, y, x+w, y+w), image.NewUniform(colour), image.Point{}, draw.Src)
			samples[i].Boxes = append(samples[i].Boxes, Box{class, float64(x), float64(y), float64(x + w), float64(y + w)})
		}
		samples[i].Load = encoded(t, im)
	}
	return samples
}

func encoded(t testing.TB, im image.Image) func(context.Context) ([]byte, error) {
	t.Helper()
	var buf bytes.Buffer
	if err := png.Encode(&buf, im); err != nil {
		t.Fatal(err)
	}
	return func(context.Context) ([]byte, error) { return buf.Bytes(), nil }
}

var squareClasses = []string{"red", "blue"}

// smallRecipe trains squares.
func smallRecipe(steps int) Recipe {
	r := DefaultRecipe()
	r.Steps, r.ContinueSteps, r.BatchSize, r.ImageSize, r.Width = steps, steps, 4, 96, 4
	r.LearningRate, r.WarmupSteps, r.CheckpointEvery, r.ValidateEvery, r.Threads = 5e-3, 10, 0, 0, 2
	return r
}

// memory keeps checkpoints, as the job does in the models bucket.
type memory struct{ newest []byte }

func (m *memory) hooks() Hooks {
	return Hooks{
		SaveCheckpoint: func(_ context.Context, c []byte) error { m.newest = c; return nil },
		LoadCheckpoint: func(context.Context) ([]byte, error) { return m.newest, nil },
	}
}
