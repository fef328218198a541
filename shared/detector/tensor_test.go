package detector

import (
	"encoding/binary"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/litterloop/litterloop/shared/errs"
)

// gray is an input of one value, as little-endian bytes of the port's width.
func gray(p Port, shape ...int64) Tensor {
	n := int64(1)
	for _, d := range shape {
		n *= d
	}
	t := Tensor{Shape: shape}
	for range n {
		if p.Half {
			t.Data = binary.LittleEndian.AppendUint16(t.Data, half(.5))
		} else {
			t.Data = binary.LittleEndian.AppendUint32(t.Data, math.Float32bits(.5))
		}
	}
	return t
}

func TestInfer_givesTheModelsOwnOutput(t *testing.T) {
	needRuntime(t)
	for name, want := range map[string][]int64{"static.onnx": {1, 11, 144}, "dynamic.onnx": {1, 11, 144}, "half.onnx": {1, 11, 144}, "end2end.onnx": {1, 20, 6}} {
		t.Run(name, func(t *testing.T) {
			d := open(t, "testdata/"+name, Options{})
			in, port := d.Ports()
			out, err := d.Infer(t.Context(), gray(in, 1, 3, 96, 96))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, out.Shape); diff != "" {
				t.Fatal(diff)
			}
			width := 4
			if port.Half {
				width = 2
			}
			if n := int(want[1] * want[2]); len(out.Data) != n*width || port.Name != "output0" || in.Name != "images" {
				t.Errorf("%d bytes of %s from %s, want %d", len(out.Data), port.Name, in.Name, n*width)
			}
		})
	}
}

func TestInfer_halfAgreesWithFloat(t *testing.T) {
	needRuntime(t)
	wide, narrow := open(t, "testdata/dynamic.onnx", Options{}), open(t, "testdata/half.onnx", Options{})
	in, _ := wide.Ports()
	want, err := wide.Infer(t.Context(), gray(in, 1, 3, 64, 96))
	if err != nil {
		t.Fatal(err)
	}
	in, _ = narrow.Ports()
	got, err := narrow.Infer(t.Context(), gray(in, 1, 3, 64, 96))
	if err != nil {
		t.Fatal(err)
	}
	for i := range len(got.Data) / 2 {
		f := math.Float32frombits(binary.LittleEndian.Uint32(want.Data[4*i:]))
		if h := binary.LittleEndian.Uint16(got.Data[2*i:]); h != Half(f) {
			t.Fatalf("element %d is %#04x, want %v", i, h, f)
		}
	}
}

func TestInfer_refusals(t *testing.T) {
	needRuntime(t)
	for _, c := range []struct {
		name, model, says string
		shape             []int64
		cut               int
	}{
		{"three dimensions", "dynamic.onnx", "shape [3 96 96]", []int64{3, 96, 96}, 0},
		{"another size than the model's", "static.onnx", "takes [1 3 96 96]", []int64{1, 3, 64, 96}, 0},
		{"no element", "dynamic.onnx", "shape [1 3 0 96]", []int64{1, 3, 0, 96}, 0},
		{"four channels", "dynamic.onnx", "shape [1 4 96 96]", []int64{1, 4, 96, 96}, 0},
		{"between strides", "dynamic.onnx", "stride 32", []int64{1, 3, 90, 96}, 0},
		{"above the model's size", "dynamic.onnx", "96x128", []int64{1, 3, 128, 96}, 0},
		{"a large batch", "dynamic.onnx", "batch of 17", []int64{17, 3, 32, 32}, 0},
		{"a batch for a model that takes none", "dynamic.onnx", "one photo at a time", []int64{2, 3, 32, 32}, 0},
		{"too few bytes", "dynamic.onnx", "12287 bytes", []int64{1, 3, 32, 32}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := open(t, "testdata/"+c.model, Options{})
			in, _ := d.Ports()
			x := gray(in, c.shape...)
			x.Data = x.Data[:len(x.Data)-c.cut]
			_, err := d.Infer(t.Context(), x)
			if code, _ := errs.Reason(err); code != TensorInvalid || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %v, want %s that says %q", err, TensorInvalid, c.says)
			}
		})
	}
}

func TestHalf_signsAndInfinities(t *testing.T) {
	for f, want := range map[float32]uint16{0: 0, 1: 0x3c00, -1: 0xbc00, 640: 0x6100, -640: 0xe100, 65504: 0x7bff, 1e9: 0x7c00, float32(math.Inf(-1)): 0xfc00} {
		if got := Half(f); got != want {
			t.Errorf("Half(%v) = %#04x, want %#04x", f, got, want)
		}
	}
	if got := Half(float32(math.NaN())); got&0x7c00 != 0x7c00 || got&0x3ff == 0 {
		t.Errorf("NaN became %#04x", got)
	}
}

func TestFromHalf_returnsWhatHalfTook(t *testing.T) {
	for h := range 1 << 16 {
		if f := FromHalf(uint16(h)); f == f && Half(f) != uint16(h) {
			t.Fatalf("%#04x is read as %v and written as %#04x", h, f, Half(f))
		}
	}
}
