package detector

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/litterloop/litterloop/shared/errs"
)

// Reasons why a model is refused. All are permanent.
const (
	// ModelUnreadable: not an ONNX file, or ONNX Runtime cannot load it.
	ModelUnreadable errs.Code = "model-unreadable"
	// ModelUnsupported: an ONNX model, but not a detection export.
	ModelUnsupported errs.Code = "model-unsupported"
)

// Spec is what a model says about itself.
type Spec struct {
	Classes []string // by class id
	Width   int      // largest input; the only one unless Dynamic
	Height  int
	Stride  int  // inputs of a Dynamic model are multiples of it
	Dynamic bool // takes any input shape
	Half    bool // input and output in float16

	input, output string
	in, out       Port
}

// readSpec reads an Ultralytics detection export: metadata names, stride, imgsz
// and task, one image input, one output.
func readSpec(model []byte) (Spec, error) {
	g, err := readGraph(model)
	if err != nil {
		return Spec{}, errs.Permanentf(ModelUnreadable, "read model: %w", err)
	}
	s := Spec{Stride: 32}
	if task := g.metadata["task"]; task != "" && task != "detect" {
		return Spec{}, errs.Permanentf(ModelUnsupported, "the model's task is %q; only detection models (task %q) are served", task, "detect")
	}
	if len(g.inputs) != 1 || len(g.outputs) != 1 {
		return Spec{}, errs.Permanentf(ModelUnsupported, "the model has %d inputs and %d outputs; a detection export has one of each", len(g.inputs), len(g.outputs))
	}
	s.input, s.output = g.inputs[0].name, g.outputs[0].name
	if s.Classes, err = classes(g.metadata["names"]); err != nil {
		return Spec{}, errs.Permanentf(ModelUnsupported, "the model's metadata %q: %w; export it with Ultralytics, or add the metadata", "names", err)
	}
	if v := g.metadata["stride"]; v != "" {
		if s.Stride, err = strconv.Atoi(v); err != nil || s.Stride < 1 || s.Stride > 1024 {
			return Spec{}, errs.Permanentf(ModelUnsupported, "the model's metadata says stride %q, not a number from 1 to 1024", v)
		}
	}
	if err := s.shape(g.inputs[0], g.metadata["imgsz"]); err != nil {
		return Spec{}, errs.Permanentf(ModelUnsupported, "the model's input %q: %w", s.input, err)
	}
	if out := g.outputs[0]; out.kind != g.inputs[0].kind || len(out.dims) != 0 && len(out.dims) != 3 {
		return Spec{}, errs.Permanentf(ModelUnsupported, "the model's output %q is of type %d and shape %v; a detection export has [1, 4+classes, anchors] or [1, boxes, 6] of its input's type", out.name, out.kind, out.dims)
	}
	if d := g.outputs[0].dims; len(d) == 3 && d[1] >= 0 && d[2] != 6 && d[1] != int64(4+len(s.Classes)) {
		return Spec{}, errs.Permanentf(ModelUnsupported, "the model's output has shape %v; with %d classes a detection export has [1, %d, anchors] or [1, boxes, 6] (poses, masks and turned boxes have more)", d, len(s.Classes), 4+len(s.Classes))
	}
	s.in = Port{s.input, s.Half, g.inputs[0].dims}
	s.out = Port{s.output, s.Half, g.outputs[0].dims}
	return s, nil
}

// maxInput bounds the memory of one input: 4096 x 4096 are 200 MB.
const maxInput = 4096

func (s *Spec) shape(in port, imgsz string) error {
	switch in.kind {
	case onnxFloat:
	case onnxFloat16:
		s.Half = true
	default:
		return fmt.Errorf("type %d is neither float32 nor float16", in.kind)
	}
	if len(in.dims) != 4 || in.dims[0] > 1 || in.dims[1] != 3 && in.dims[1] != -1 {
		return fmt.Errorf("shape %v is not [1, 3, height, width]", in.dims)
	}
	h, w := in.dims[2], in.dims[3]
	s.Dynamic = h < 0 || w < 0
	if s.Dynamic {
		size, err := sizes(imgsz)
		if err != nil {
			return fmt.Errorf("metadata imgsz %q: %w", imgsz, err)
		}
		h, w = s.roundUp(size[0]), s.roundUp(size[1])
	}
	if h < 1 || w < 1 || h > maxInput || w > maxInput {
		return fmt.Errorf("%dx%d pixels is out of range", w, h)
	}
	s.Width, s.Height = int(w), int(h)
	return nil
}

// roundUp makes a size a multiple of the stride, as Ultralytics does.
func (s *Spec) roundUp(n int64) int64 {
	stride := int64(s.Stride)
	return (min(n, maxInput+1) + stride - 1) / stride * stride
}

// sizes reads imgsz: [height, width], or one number for both. 640 is
// Ultralytics' own default.
func sizes(imgsz string) ([2]int64, error) {
	if imgsz == "" {
		return [2]int64{640, 640}, nil
	}
	v, err := parseLiteral(imgsz)
	if err != nil {
		return [2]int64{}, err
	}
	switch v := v.(type) {
	case int64:
		return [2]int64{v, v}, nil
	case []any:
		if len(v) == 2 {
			h, ok1 := v[0].(int64)
			w, ok2 := v[1].(int64)
			if ok1 && ok2 {
				return [2]int64{h, w}, nil
			}
		}
	}
	return [2]int64{}, errors.New("not [height, width]")
}

// maxClasses is above every data set in use (Objects365, LVIS' 1,203, Open
// Images' 601) and bounds what a hostile model allocates.
const maxClasses = 100_000

// classes reads names: a dict from class id to name, or a list.
func classes(names string) ([]string, error) {
	if names == "" {
		return nil, errors.New("is missing")
	}
	v, err := parseLiteral(names)
	if err != nil {
		return nil, err
	}
	var out []string
	switch v := v.(type) {
	case []any:
		for i, name := range v {
			s, ok := name.(string)
			if !ok {
				return nil, fmt.Errorf("class %d is no text", i)
			}
			out = append(out, s)
		}
	case []pair:
		byID := map[int64]string{}
		for _, p := range v {
			id, ok := p.key.(int64)
			name, text := p.value.(string)
			if !ok || !text {
				return nil, fmt.Errorf("entry %v is not a number and a name", p)
			}
			byID[id] = name
		}
		for id := range int64(len(byID)) {
			name, ok := byID[id]
			if !ok {
				return nil, fmt.Errorf("class %d of %d is missing", id, len(byID))
			}
			out = append(out, name)
		}
	default:
		return nil, errors.New("is neither a dict nor a list")
	}
	if len(out) == 0 || len(out) > maxClasses {
		return nil, fmt.Errorf("has %d classes", len(out))
	}
	return slices.Clip(out), nil
}
