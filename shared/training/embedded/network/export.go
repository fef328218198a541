package network

import (
	"fmt"
	"strings"

	"github.com/litterloop/litterloop/shared/training/embedded/graph"
	"github.com/litterloop/litterloop/shared/training/embedded/onnx"
)

// Raw is the inference model that ends in raw maps: input images [N,3,H,W],
// output [N, 4+classes, anchors] as Grid orders them. Decoding is the caller's.
func Raw(c Config, w graph.Weights) []byte {
	b := graph.NewInference(w)
	images, inputs := dynamicInput(b)
	var flat []graph.Tensor
	for _, m := range c.maps(b, images) {
		flat = append(flat, b.Flatten(m))
	}
	b.Rename(b.Concat(2, flat...).Name, RawName)
	return b.Inference(inputs, []onnx.Value{{Name: RawName, Shape: []any{"batch", 4 + len(c.Classes), "anchors"}}}, nil)
}

// Export is the model for others, in the convention of Ultralytics' dynamic
// export: input images [N,3,H,W] RGB in 0..1 with H and W multiples of 32,
// output output0 [N, 4+classes, anchors] with centre x, centre y, width, height
// in input pixels and class scores in 0..1; no suppression inside. imageSize is
// the longest side that the model was trained for.
func Export(c Config, w graph.Weights, imageSize int) []byte {
	b := graph.NewInference(w)
	images, inputs := dynamicInput(b)
	var levels []string
	for i, m := range c.maps(b, images) {
		levels = append(levels, decodeLevel(b, m.Name, Strides[i], len(c.Classes)))
	}
	b.Rename(b.Op("Concat", onnx.Attributes{"axis": 2}, levels...), OutputName)
	out := []onnx.Value{{Name: OutputName, Shape: []any{"batch", 4 + len(c.Classes), "anchors"}}}
	return b.Inference(inputs, out, Properties(c.Classes, imageSize))
}

// decodeLevel turns one raw map [N,4+nc,h,w] into [N,4+nc,h*w] of boxes and
// scores. The anchor points come from the map's own shape, so any input size
// works.
func decodeLevel(b *graph.Builder, raw string, stride, classes int) string {
	op := func(op string, inputs ...string) string { return b.Op(op, nil, inputs...) }
	size := float32(stride)
	// axis is the anchors' centres along one dimension, (i+0.5)*stride, shaped
	// to broadcast over the map.
	axis := func(dim int, shape ...int) string {
		length := b.Op("Squeeze", nil, b.Op("Shape", onnx.Attributes{"start": dim, "end": dim + 1}, raw))
		steps := b.Op("Cast", onnx.Attributes{"to": 1}, op("Range", b.IntScalar(0), length, b.IntScalar(1)))
		centres := op("Mul", op("Add", steps, b.Floats(nil, 0.5)), b.Floats(nil, size))
		return op("Reshape", centres, b.Ints(shape...))
	}
	x, y := axis(3, 1, 1, 1, -1), axis(2, 1, 1, -1, 1)

	parts := b.Ops("Split", onnx.Attributes{"axis": 1}, 5, raw, b.Ints(1, 1, 1, 1, classes))
	distance := func(t string) string {
		return op("Mul", op("Exp", op("Clip", t, b.Floats(nil, MinLog), b.Floats(nil, MaxLog))), b.Floats(nil, size))
	}
	left, top, right, bottom := distance(parts[0]), distance(parts[1]), distance(parts[2]), distance(parts[3])
	centre := func(at, low, high string) string {
		return op("Add", at, op("Mul", op("Sub", high, low), b.Floats(nil, 0.5)))
	}
	out := b.Op("Concat", onnx.Attributes{"axis": 1},
		centre(x, left, right), centre(y, top, bottom), op("Add", left, right), op("Add", top, bottom), op("Sigmoid", parts[4]))
	return op("Reshape", out, b.Ints(0, 4+classes, -1))
}

// Properties are the metadata that readers of Ultralytics' models look for.
func Properties(classes []string, imageSize int) []onnx.Property {
	return []onnx.Property{
		{Key: "description", Value: "Litterloop detector"},
		{Key: "task", Value: "detect"},
		{Key: "stride", Value: fmt.Sprint(MaxStride)},
		{Key: "batch", Value: "1"},
		{Key: "imgsz", Value: fmt.Sprintf("[%d, %d]", imageSize, imageSize)},
		{Key: "names", Value: pythonDict(classes)},
	}
}

// pythonDict writes {0: 'name', …} as a Python literal; readers parse it with
// ast.literal_eval.
func pythonDict(names []string) string {
	var s strings.Builder
	s.WriteByte('{')
	for i, n := range names {
		if i > 0 {
			s.WriteString(", ")
		}
		fmt.Fprintf(&s, "%d: %s", i, pythonString(n))
	}
	s.WriteByte('}')
	return s.String()
}

func pythonString(v string) string {
	var s strings.Builder
	s.WriteByte('\'')
	for _, r := range v {
		switch {
		case r == '\\' || r == '\'':
			s.WriteByte('\\')
			s.WriteRune(r)
		case r == '\n':
			s.WriteString(`\n`)
		case r == '\r':
			s.WriteString(`\r`)
		case r == '\t':
			s.WriteString(`\t`)
		case r < 0x20 || r == 0x7f:
			fmt.Fprintf(&s, `\x%02x`, r)
		default:
			s.WriteRune(r)
		}
	}
	s.WriteByte('\'')
	return s.String()
}
