package embedded

import (
	"context"
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
