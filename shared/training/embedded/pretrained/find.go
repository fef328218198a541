package pretrained

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/litterloop/litterloop/shared/training/embedded/onnx"
)

// prediction is a convolution from which nothing but decoding leads to the
// graph's outputs.
type prediction struct {
	output, input string
	channels      int
	order         int // of its node
}

// predictions walks back from the outputs to the first convolutions.
func (m *Model) predictions() ([]prediction, error) {
	g := m.graph
	var found []prediction
	var outputs []string
	for _, o := range g.Outputs {
		outputs = append(outputs, o.Name)
	}
	seen := map[string]bool{}
	dense := false
	for stack := outputs; len(stack) > 0; {
		t := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		n, made := g.Producer(t)
		if !made || seen[n.Outputs[0]] {
			continue
		}
		seen[n.Outputs[0]] = true
		switch n.Op {
		case "Conv":
			w, known := g.Constants[n.Inputs[1]]
			if known && w.Element == onnx.ElementFloat16 {
				return nil, errors.New("has weights in half precision; start from the float32 export")
			}
			if !known || w.Element != onnx.ElementFloat || len(w.Shape) != 4 {
				return nil, fmt.Errorf("has a convolution whose weights %q are no float32 values in the file", n.Inputs[1])
			}
			if isExpectation(w) { // the mean of a box distribution
				m.Bins = w.Shape[1]
				stack = append(stack, n.Inputs[0])
				continue
			}
			found = append(found, prediction{n.Outputs[0], n.Inputs[0], w.Shape[0], slices.IndexFunc(g.Nodes, func(o onnx.Node) bool { return o.Outputs[0] == n.Outputs[0] })})
		case "Shape": // anchors made from a map's size
		case "Gemm", "GlobalAveragePool", "Flatten":
			dense = true
		default:
			stack = append(stack, n.Inputs...)
		}
	}
	if dense && len(found) == 0 {
		return nil, errors.New("is a classifier: its outputs come from a dense layer, not from maps of boxes")
	}
	if len(found) < 2 {
		return nil, fmt.Errorf("ends in %d convolutions; a detector that can be started from ends in one for boxes and one for classes at each stride (YOLOX, YOLOv8 and later)", len(found))
	}
	slices.SortFunc(found, func(a, b prediction) int { return cmp.Compare(a.order, b.order) })
	return found, nil
}

// isExpectation recognises the convolution that takes the mean of bins 0, 1, …
func isExpectation(w onnx.Constant) bool {
	if len(w.Shape) != 4 || w.Shape[0] != 1 || w.Shape[1] < 2 || w.Shape[2] != 1 || w.Shape[3] != 1 {
		return false
	}
	for i, v := range w.Floats {
		if v != float32(i) {
			return false
		}
	}
	return true
}

// arrange sorts the predictions into levels and tells them apart. shapes are
// height and width of each as parts of the input's.
func (m *Model) arrange(found []prediction, strides []int) error {
	byStride := map[int][]prediction{}
	for i, p := range found {
		byStride[strides[i]] = append(byStride[strides[i]], p)
	}
	for stride, ps := range byStride {
		l, classes, err := m.level(stride, ps)
		if err != nil {
			return err
		}
		if m.classes != 0 && m.classes != classes {
			return fmt.Errorf("predicts %d classes at one stride and %d at another", m.classes, classes)
		}
		m.classes = classes
		m.Levels = append(m.Levels, l)
	}
	slices.SortFunc(m.Levels, func(a, b Level) int { return cmp.Compare(a.Stride, b.Stride) })
	objectness := m.Levels[0].Objectness != ""
	for _, l := range m.Levels {
		if (l.Objectness != "") != objectness {
			return errors.New("has an objectness at some strides only")
		}
	}
	m.BGR255 = objectness && len(m.graph.Properties) == 0
	return nil
}

// level tells the predictions of a stride apart: by their number of channels,
// and where these are equal by what follows them.
func (m *Model) level(stride int, ps []prediction) (Level, int, error) {
	var channels []int
	for _, p := range ps {
		channels = append(channels, p.channels)
	}
	refuse := func() (Level, int, error) {
		return Level{}, 0, fmt.Errorf("ends, at stride %d, in convolutions of %v channels; boxes of %d channels, perhaps one of objectness, and classes are understood (YOLOX, YOLOv8 and later; not anchor boxes as of YOLOv5, nor transformers)", stride, channels, 4*m.Bins)
	}
	if len(ps) != 2 && len(ps) != 3 {
		return refuse()
	}
	boxes := slices.DeleteFunc(slices.Clone(ps), func(p prediction) bool {
		return p.channels != 4*m.Bins || len(ps) > 1 && m.gated(p.output) && !m.allGated(ps)
	})
	if len(boxes) == 0 {
		return refuse()
	}
	box := boxes[0]
	rest := slices.DeleteFunc(slices.Clone(ps), func(p prediction) bool { return p == box })
	l := Level{Stride: stride, Box: box.output}
	class := rest[0]
	if len(rest) == 2 {
		// Objectness has one channel, and where there is one class as well it
		// shares what it reads with the boxes.
		i := slices.IndexFunc(rest, func(p prediction) bool {
			return p.channels == 1 && (rest[0].channels != rest[1].channels || p.input == box.input)
		})
		if i < 0 {
			return refuse()
		}
		l.Objectness, class = rest[i].output, rest[1-i]
	}
	l.Class, l.Features = class.output, class.input
	neck, ok := m.commonAncestor(ps)
	if !ok {
		return Level{}, 0, fmt.Errorf("has, at stride %d, prediction layers that share nothing", stride)
	}
	l.Neck = neck
	return l, class.channels, nil
}

// gated tells whether a sigmoid follows, after nothing but moves of values.
func (m *Model) gated(tensor string) bool {
	for _, n := range m.graph.Readers(tensor) {
		switch n.Op {
		case "Sigmoid":
			return true
		case "Reshape", "Transpose", "Flatten", "Identity", "Concat", "Squeeze", "Unsqueeze":
			if n.Inputs[0] == tensor || n.Op == "Concat" {
				if m.gated(n.Outputs[0]) {
					return true
				}
			}
		}
	}
	return false
}

func (m *Model) allGated(ps []prediction) bool {
	return !slices.ContainsFunc(ps, func(p prediction) bool { return !m.gated(p.output) })
}

// commonAncestor is the nearest tensor that every prediction is made from, and
// from which alone they are made.
func (m *Model) commonAncestor(ps []prediction) (string, bool) {
	depths := make([]map[string]int, len(ps))
	for i, p := range ps {
		depths[i] = m.ancestors(p.input)
	}
	type candidate struct {
		tensor string
		depth  int
	}
	var common []candidate
	for t, d := range depths[0] {
		deepest, all := d, true
		for _, other := range depths[1:] {
			e, ok := other[t]
			all = all && ok
			deepest = max(deepest, e)
		}
		if all {
			common = append(common, candidate{t, deepest})
		}
	}
	slices.SortFunc(common, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.depth, b.depth), cmp.Compare(a.tensor, b.tensor))
	})
	var outputs []string
	for _, p := range ps {
		outputs = append(outputs, p.output)
	}
	for _, c := range common {
		if c.tensor != m.input && m.closed([]string{c.tensor}, outputs) {
			return c.tensor, true
		}
	}
	return "", false
}

// ancestors are the tensors that t is made from, with how far they are.
func (m *Model) ancestors(t string) map[string]int {
	depth := map[string]int{t: 0}
	for queue := []string{t}; len(queue) > 0; queue = queue[1:] {
		n, made := m.graph.Producer(queue[0])
		if !made || n.Op == "Constant" {
			continue
		}
		for _, in := range n.Inputs {
			_, weight := m.graph.Constants[in]
			if _, known := depth[in]; !known && !weight && in != "" {
				depth[in] = depth[queue[0]] + 1
				queue = append(queue, in)
			}
		}
	}
	return depth
}

// closed tells whether from is enough to make outputs, without the image.
func (m *Model) closed(from, outputs []string) bool {
	for _, n := range m.graph.Between(from, outputs) {
		if slices.Contains(n.Inputs, m.input) {
			return false
		}
	}
	return true
}
