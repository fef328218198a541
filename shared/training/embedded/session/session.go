// Package session runs ONNX models of float32 tensors in ONNX Runtime. It is
// the trainer's thin layer over the binding: memory that the runtime holds is
// pinned, outputs stay in the runtime's memory until they are released.
package session

import (
	"errors"
	"fmt"
	"runtime"
	"strings"

	ort "github.com/yalue/onnxruntime_go"

	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/onnxruntime"
)

// OutOfMemory is the reason of a training that this machine's memory cannot hold.
// The same machine would run out of it again: it is permanent.
const OutOfMemory errs.Code = "out-of-memory"

// Tensor is a float32 array that the runtime can read. Release it when done.
type Tensor struct {
	// Data is the tensor's memory: writing to it changes the tensor.
	Data   []float32
	value  *ort.Tensor[float32]
	pinner runtime.Pinner
}

// NewTensor wraps data without copying it; data stays pinned until Release.
// The runtime must be initialised: open a session first.
func NewTensor(data []float32, shape ...int) (*Tensor, error) {
	t := &Tensor{Data: data}
	dims := make([]int64, len(shape))
	for i, d := range shape {
		dims[i] = int64(d)
	}
	if len(data) > 0 {
		t.pinner.Pin(&data[0])
	}
	v, err := ort.NewTensor(ort.Shape(dims), data)
	if err != nil {
		t.pinner.Unpin()
		return nil, fmt.Errorf("make tensor %v: %w", shape, err)
	}
	t.value = v
	return t, nil
}

// Shape is the tensor's shape.
func (t *Tensor) Shape() []int64 { return t.value.GetShape() }

// Release frees the tensor; nil and a second call do nothing.
func (t *Tensor) Release() {
	if t == nil || t.value == nil {
		return
	}
	t.value.Destroy() // never fails
	t.value, t.Data = nil, nil
	t.pinner.Unpin()
}

// Release releases every tensor.
func Release(ts []*Tensor) {
	for _, t := range ts {
		t.Release()
	}
}

// Session is a loaded model. It may run in several goroutines at once.
type Session struct {
	session *ort.DynamicAdvancedSession
	outputs int
}

// Open loads a model for the given inputs and outputs, in that order, on a
// number of threads.
func Open(model []byte, inputs, outputs []string, threads int) (_ *Session, err error) {
	if err := onnxruntime.Init(); err != nil {
		return nil, err
	}
	options, err := ort.NewSessionOptions()
	if err != nil {
		return nil, fmt.Errorf("session options: %w", err)
	}
	defer func() { err = errors.Join(err, options.Destroy()) }()
	err = errors.Join(
		options.SetIntraOpNumThreads(threads),
		options.SetInterOpNumThreads(1),
		// Threads that spin between operators take the processor from the
		// goroutine that prepares the next batch.
		options.AddSessionConfigEntry("session.intra_op.allow_spinning", "0"),
	)
	if err != nil {
		return nil, fmt.Errorf("session options: %w", err)
	}
	s, err := ort.NewDynamicAdvancedSessionWithONNXData(model, inputs, outputs, options)
	if err != nil {
		return nil, explain(fmt.Errorf("load model: %w", err))
	}
	return &Session{session: s, outputs: len(outputs)}, nil
}

// Run computes the outputs, which the caller releases.
func (s *Session) Run(inputs ...*Tensor) ([]*Tensor, error) { return s.Again(nil, inputs...) }

// Again is Run into the outputs of an earlier run whose inputs had the same
// shapes: the runtime writes where they lie, and nothing is made or copied.
// Without outputs it is Run.
func (s *Session) Again(outputs []*Tensor, inputs ...*Tensor) ([]*Tensor, error) {
	in, out := make([]ort.Value, len(inputs)), make([]ort.Value, s.outputs)
	for i, t := range inputs {
		in[i] = t.value
	}
	for i, t := range outputs {
		out[i] = t.value
	}
	err := s.session.Run(in, out)
	runtime.KeepAlive(inputs)
	runtime.KeepAlive(outputs)
	if err != nil {
		return nil, explain(fmt.Errorf("run model: %w", err))
	}
	if outputs != nil {
		return outputs, nil
	}
	ts := make([]*Tensor, len(out))
	for i, v := range out {
		f, ok := v.(*ort.Tensor[float32])
		if !ok {
			return nil, fmt.Errorf("run model: output %d is not float32", i)
		}
		ts[i] = &Tensor{Data: f.GetData(), value: f}
	}
	return ts, nil
}

// explain tells the runtime's want of memory from its other errors, which it says
// in words alone: that of its arena, and that of C++ and Linux.
func explain(err error) error {
	for _, words := range []string{"Failed to allocate memory", "bad_alloc", "Cannot allocate memory"} {
		if strings.Contains(err.Error(), words) {
			return errs.Permanentf(OutOfMemory, "there is not enough memory; lower the recipe's image_size or batch_size, or train on a machine with more: %w", err)
		}
	}
	return err
}

// Close unloads the model.
func (s *Session) Close() error { return s.session.Destroy() }
