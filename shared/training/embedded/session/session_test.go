package session_test

import (
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/onnxruntime"
	"github.com/litterloop/litterloop/shared/training/embedded/onnx"
	"github.com/litterloop/litterloop/shared/training/embedded/session"
)

// doubling is the smallest model: y = x + x over a vector of any length.
func doubling(t *testing.T) *session.Session {
	t.Helper()
	if err := onnxruntime.Init(); err != nil {
		t.Skip("needs ONNX Runtime:", err)
	}
	model := onnx.Model{
		Nodes:   []onnx.Node{{Op: "Add", Inputs: []string{"x", "x"}, Outputs: []string{"y"}}},
		Inputs:  []onnx.Value{{Name: "x", Shape: []any{"n"}}},
		Outputs: []onnx.Value{{Name: "y", Shape: []any{"n"}}},
	}
	s, err := session.Open(model.Marshal(), []string{"x"}, []string{"y"}, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// The runtime keeps addresses of Go memory between calls; collections in between
// must neither free nor move it.
func TestRun_whileMemoryIsCollected(t *testing.T) {
	s := doubling(t)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 50 {
				data := make([]float32, 1000)
				for k := range data {
					data[k] = float32(g*1000 + i)
				}
				x, err := session.NewTensor(data, len(data))
				if err != nil {
					t.Error(err)
					return
				}
				data = nil
				_ = make([]float32, 100_000)
				if i%10 == 0 {
					runtime.GC()
				}
				out, err := s.Run(x)
				if err != nil {
					t.Error(err)
					return
				}
				for _, v := range out[0].Data {
					if v != float32(2*(g*1000+i)) {
						t.Errorf("got %g", v)
						return
					}
				}
				session.Release(out)
				x.Release()
				x.Release() // does nothing
			}
		})
	}
	wg.Wait()
}

func TestOpen_refusesWhatIsNoModel(t *testing.T) {
	doubling(t)
	if _, err := session.Open([]byte("no model"), []string{"x"}, []string{"y"}, 1); err == nil {
		t.Error("opened")
	}
}

func TestRun_reportsAWrongShape(t *testing.T) {
	s := doubling(t)
	x, err := session.NewTensor(make([]float32, 4), 2, 2)
	if err != nil {
		t.Fatal(err)
	}
	defer x.Release()
	if _, err := s.Run(x); err == nil {
		t.Error("a matrix went in where a vector was declared")
	}
}

// More than any machine's addresses reach: the runtime's own word for it becomes a
// reason with advice.
func TestRun_tellsWantOfMemory(t *testing.T) {
	if err := onnxruntime.Init(); err != nil {
		t.Skip("needs ONNX Runtime:", err)
	}
	model := onnx.Model{
		Nodes:     []onnx.Node{{Op: "Expand", Inputs: []string{"x", "shape"}, Outputs: []string{"y"}}},
		Constants: []onnx.Constant{{Name: "shape", Shape: []int{2}, Ints: []int64{1 << 30, 1 << 28}}},
		Inputs:    []onnx.Value{{Name: "x", Shape: []any{"n"}}},
		Outputs:   []onnx.Value{{Name: "y"}},
	}
	s, err := session.Open(model.Marshal(), []string{"x"}, []string{"y"}, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	x, err := session.NewTensor([]float32{1}, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer x.Release()
	_, err = s.Run(x)
	if code, _ := errs.Reason(err); code != session.OutOfMemory || !strings.Contains(err.Error(), "batch_size") {
		t.Errorf("got %v", err)
	}
}

func TestAgain_writesWhereTheFirstOutputsLie(t *testing.T) {
	s := doubling(t)
	x, err := session.NewTensor([]float32{1, 2, 3}, 3)
	if err != nil {
		t.Fatal(err)
	}
	defer x.Release()
	out, err := s.Again(nil, x)
	if err != nil {
		t.Fatal(err)
	}
	defer session.Release(out)
	place := &out[0].Data[0]
	x.Data[2] = 5
	again, err := s.Again(out, x)
	if err != nil || &again[0].Data[0] != place || out[0].Data[2] != 10 {
		t.Errorf("%v, %v", again[0].Data, err)
	}
}
