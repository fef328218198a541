// Package pretrained takes a detector that was trained elsewhere apart, so that
// the embedded trainer can go on from it: its prediction layers are found from
// the graph's outputs, never by name, the graph is cut into a part that stays as
// it is and one that learns, and what was learned is put back into the graph.
//
// It reads exports of YOLOX (boxes, objectness and classes) and of YOLOv8 and
// its successors (boxes as distributions or distances, and classes), of fixed or
// free shape, with or without suppression inside.
package pretrained

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/training/embedded/network"
	"github.com/litterloop/litterloop/shared/training/embedded/onnx"
)

// Reasons why a starting model is refused. All are permanent.
const (
	// Unreadable: not an ONNX file, or cut short.
	Unreadable errs.Code = "start-unreadable"
	// Unsupported: an ONNX model, but none that can be trained on from here.
	Unsupported errs.Code = "start-unsupported"
)

// Model is a detector to start from. It is read-only and safe for concurrent use.
type Model struct {
	Levels  []Level // finest first
	Code    network.Code
	Bins    int    // of the distribution of a box distance; 1: it is said outright
	Licence string // of its weights: by the table of releases, or what its metadata says
	// Size is the side of the only input it takes; 0: any multiple of the last
	// level's stride, as most exports of a fixed size take behind their label.
	Size int
	// BGR255 says that it wants blue, green, red from 0 to 255 in place of red,
	// green, blue from 0 to 1.
	BGR255 bool

	graph   *onnx.Graph
	input   string
	classes int
}

// Level is the prediction layers of one stride.
type Level struct {
	Stride int
	// Tensors: what the layers put out, and what the class layer reads. Objectness
	// is empty where the detector has none.
	Box, Objectness, Class, Features string
	// Neck is the tensor that everything at this level comes from.
	Neck string
}

// Open reads a detector and finds its prediction layers. Its errors are
// permanent, but for the machine's own.
func Open(model []byte) (*Model, error) {
	g, err := onnx.Parse(model)
	if err != nil {
		return nil, errs.Permanentf(Unreadable, "read the starting model of %d bytes%s: %w", len(model), looksLike(model), err)
	}
	m := &Model{graph: g, Bins: 1, Licence: licence(g)}
	if err := m.acceptable(); err != nil {
		return nil, errs.Permanentf(Unsupported, "the starting model %w", err)
	}
	found, err := m.predictions()
	if err != nil {
		return nil, errs.Permanentf(Unsupported, "the starting model %w", err)
	}
	shapes, err := m.measure(found)
	if err != nil {
		return nil, err
	}
	if err := m.arrange(found, shapes); err != nil {
		return nil, errs.Permanentf(Unsupported, "the starting model %w", err)
	}
	if err := m.chooseCode(); err != nil {
		return nil, err
	}
	if m.Size != 0 && m.free() {
		m.Size = 0
	}
	return m, nil
}

// looksLike names what people give by mistake.
func looksLike(model []byte) string {
	switch begin := bytes.TrimSpace(model[:min(len(model), 64)]); {
	case bytes.HasPrefix(begin, []byte("<")):
		return ", which is a web page, as a download may give that asks to sign in"
	case bytes.HasPrefix(begin, []byte("PK")), bytes.HasPrefix(begin, []byte("\x80\x02")):
		return ", which is an archive such as PyTorch's (.pt, .pth): export it as ONNX"
	case bytes.HasPrefix(begin, []byte("version https://git-lfs")):
		return ", which only points to a file in Git LFS: fetch that (git lfs pull)"
	}
	return ""
}

// minOpset is the first whose operators the exported model's decoding needs.
const minOpset = 11

// acceptable finds what no detector to start from has.
func (m *Model) acceptable() error {
	g := m.graph
	if g.Opset < minOpset {
		return fmt.Errorf("is written in operator set %d; export it again with %d or later", g.Opset, minOpset)
	}
	for _, n := range g.Nodes {
		switch n.Op {
		case "QLinearConv", "ConvInteger", "MatMulInteger", "QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear":
			return fmt.Errorf("is quantised (operator %s); start from the float32 export it was made of", n.Op)
		}
	}
	for _, c := range g.Constants {
		if c.External {
			return fmt.Errorf("keeps its weights in another file (%q); export it as one file", c.Name)
		}
	}
	if len(g.Inputs) != 1 {
		return fmt.Errorf("has %d inputs; a detector has one, the image", len(g.Inputs))
	}
	in := g.Inputs[0]
	m.input = in.Name
	if in.Element == onnx.ElementFloat16 {
		return fmt.Errorf("is in half precision; start from the float32 export")
	}
	if in.Element != onnx.ElementFloat || len(in.Shape) != 4 {
		return fmt.Errorf("takes an input of type %d and shape %v; a detector takes float32 [1, 3, height, width]", in.Element, in.Shape)
	}
	if c, fixed := in.Shape[1].(int); fixed && c != 3 {
		return fmt.Errorf("takes an input of shape %v; a detector takes three channels, [1, 3, height, width]", in.Shape)
	}
	h, fixedH := in.Shape[2].(int)
	w, fixedW := in.Shape[3].(int)
	if fixedH != fixedW || fixedH && (h != w || h < 32 || h > 2048 || h%32 != 0) {
		return fmt.Errorf("takes an input of %vx%v pixels; a square of 32 to 2048, a multiple of 32, or any size is needed", in.Shape[3], in.Shape[2])
	}
	m.Size = h
	return nil
}

// Strides of the levels, finest first.
func (m *Model) Strides() []int {
	s := make([]int, len(m.Levels))
	for i, l := range m.Levels {
		s[i] = l.Stride
	}
	return s
}

// MaxStride divides every input's height and width.
func (m *Model) MaxStride() int { return slices.Max(m.Strides()) }

// Grid is the anchors of an input of height x width pixels.
func (m *Model) Grid(height, width int) *network.Grid {
	return network.NewGridOf(m.Code, m.Strides(), height, width)
}
