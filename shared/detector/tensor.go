package detector

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"runtime"
	"slices"

	"github.com/litterloop/litterloop/shared/errs"
	ort "github.com/yalue/onnxruntime_go"
)

// TensorInvalid is the reason of a raw tensor that the model does not take.
const TensorInvalid errs.Code = "tensor-invalid"

// MaxBatch bounds the memory of one raw request.
const MaxBatch = 16

// Port is the model's input or output as its own file declares it.
type Port struct {
	Name  string
	Half  bool    // elements are float16, otherwise float32
	Shape []int64 // -1 where the model takes any size
}

// Tensor is an input or output: elements in row-major order, little-endian, of
// the width that the Port says.
type Tensor struct {
	Shape []int64
	Data  []byte
}

// Ports are the model's input and its output.
func (d *Detector) Ports() (in, out Port) { return d.spec.in, d.spec.out }

// Infer runs the model on a tensor that the caller prepared, and returns what it
// gives, undecoded. A permanent error (TensorInvalid) says what the model takes
// instead.
func (d *Detector) Infer(ctx context.Context, in Tensor) (Tensor, error) {
	if err := d.spec.takes(in); err != nil {
		return Tensor{}, errs.Permanentf(TensorInvalid, "input %q: %w", d.spec.in.Name, err)
	}
	var w *worker
	select {
	case <-ctx.Done():
		return Tensor{}, ctx.Err()
	case free, ok := <-d.workers:
		if !ok {
			return Tensor{}, errClosed
		}
		w = free
	}
	defer func() { d.workers <- w }()
	value, unpin, err := d.spec.value(in)
	if err != nil {
		return Tensor{}, err
	}
	defer unpin()
	defer value.Destroy()
	var out Tensor
	err = d.choose().exec(ctx, w.options, value, func(values []float32, shape []int64) error {
		if len(shape) == 0 || shape[0] != in.Shape[0] {
			return errs.Permanentf(TensorInvalid, "a batch of %d gives an output of shape %v: the model takes one photo at a time", in.Shape[0], shape)
		}
		out = d.spec.tensor(values, shape)
		return nil
	})
	if _, permanent := errs.Reason(err); err != nil && !permanent && ctx.Err() == nil && slices.Contains(d.spec.in.Shape, -1) {
		err = errs.Permanentf(TensorInvalid, "an input of shape %v: %w", in.Shape, err) // a declared shape cannot be at fault
	}
	return out, err
}

// takes reports why the model does not take a tensor.
func (s *Spec) takes(t Tensor) error {
	if len(t.Shape) != 4 {
		return fmt.Errorf("shape %v, where the model takes %v", t.Shape, s.in.Shape)
	}
	for i, want := range s.in.Shape {
		if got := t.Shape[i]; got < 1 || want >= 0 && got != want {
			return fmt.Errorf("shape %v, where the model takes %v", t.Shape, s.in.Shape)
		}
	}
	n, h, w := t.Shape[0], t.Shape[2], t.Shape[3]
	switch {
	case n > MaxBatch:
		return fmt.Errorf("a batch of %d, above %d", n, MaxBatch)
	case t.Shape[1] != 3:
		return fmt.Errorf("%d channels, where the model takes 3", t.Shape[1])
	case h > int64(s.Height) || w > int64(s.Width):
		return fmt.Errorf("%dx%d pixels, above the model's %dx%d", w, h, s.Width, s.Height)
	case s.Dynamic && (h%int64(s.Stride) != 0 || w%int64(s.Stride) != 0):
		return fmt.Errorf("%dx%d pixels are no multiples of the model's stride %d", w, h, s.Stride)
	}
	if want := n * 3 * h * w * s.width(); int64(len(t.Data)) != want {
		return fmt.Errorf("%d bytes, where shape %v needs %d", len(t.Data), t.Shape, want)
	}
	return nil
}

// width of an element in bytes.
func (s *Spec) width() int64 {
	if s.Half {
		return 2
	}
	return 4
}

// value copies a tensor into aligned memory that C may point into until unpin.
func (s *Spec) value(t Tensor) (v ort.Value, unpin func(), err error) {
	var pin runtime.Pinner
	shape := ort.NewShape(t.Shape...)
	if s.Half {
		data := slices.Clone(t.Data)
		pin.Pin(&data[0])
		v, err = ort.NewCustomDataTensor(shape, data, ort.TensorElementDataTypeFloat16)
	} else {
		data := make([]float32, len(t.Data)/4)
		if _, err := binary.Decode(t.Data, binary.LittleEndian, data); err != nil {
			return nil, nil, err
		}
		pin.Pin(&data[0])
		v, err = ort.NewTensor(shape, data)
	}
	if err != nil {
		pin.Unpin()
		return nil, nil, fmt.Errorf("make the input: %w", err)
	}
	return v, pin.Unpin, nil
}

// tensor is the output in the model's own type. The session gave float32; of a
// model in float16 every value fits back exactly.
func (s *Spec) tensor(values []float32, shape []int64) Tensor {
	t := Tensor{Shape: slices.Clone(shape), Data: make([]byte, 0, int64(len(values))*s.width())}
	for _, v := range values {
		if s.Half {
			t.Data = binary.LittleEndian.AppendUint16(t.Data, Half(v))
		} else {
			t.Data = binary.LittleEndian.AppendUint32(t.Data, math.Float32bits(v))
		}
	}
	return t
}

// FromHalf reads an IEEE 754 half float; every one is a float32.
func FromHalf(h uint16) float32 {
	sign, exponent, mantissa := uint32(h&0x8000)<<16, uint32(h>>10&0x1f), uint32(h&0x3ff)
	switch exponent {
	case 0: // subnormal: units of 2^-24
		return math.Float32frombits(math.Float32bits(float32(mantissa)*0x1p-24) | sign)
	case 31: // infinity, NaN
		return math.Float32frombits(sign | 0x7f800000 | mantissa<<13)
	}
	return math.Float32frombits(sign | (exponent+127-15)<<23 | mantissa<<13)
}

// Half rounds to the nearest IEEE 754 half float, ties to even.
func Half(f float32) uint16 {
	bits := math.Float32bits(f)
	sign := uint16(bits >> 16 & 0x8000)
	switch abs := math.Float32frombits(bits &^ (1 << 31)); {
	case abs != abs:
		return sign | 0x7e00
	case abs >= 65520: // rounds above the largest
		return sign | 0x7c00
	default:
		return sign | half(abs)
	}
}
