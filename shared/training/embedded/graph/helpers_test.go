package graph_test

import (
	"math/rand/v2"
	"testing"

	"github.com/litterloop/litterloop/shared/training/embedded/onnx"
	"github.com/litterloop/litterloop/shared/training/embedded/session"
)

func open(t *testing.T, model []byte, inputs, outputs []string) *session.Session {
	t.Helper()
	s, err := session.Open(model, inputs, outputs, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func run(t *testing.T, s *session.Session, inputs ...*session.Tensor) []*session.Tensor {
	t.Helper()
	out, err := s.Run(inputs...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { session.Release(out) })
	return out
}

func tensor(t *testing.T, data []float32, shape ...int) *session.Tensor {
	t.Helper()
	x, err := session.NewTensor(data, shape...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(x.Release)
	return x
}

func random(r *rand.Rand, n int, spread float64) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(r.NormFloat64() * spread)
	}
	return v
}

func values(name string, shape ...any) []onnx.Value {
	return []onnx.Value{{Name: name, Shape: shape}}
}
