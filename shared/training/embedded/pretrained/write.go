package pretrained

import (
	"fmt"
	"math"

	"github.com/litterloop/litterloop/shared/training/embedded/graph"
	"github.com/litterloop/litterloop/shared/training/embedded/network"
	"github.com/litterloop/litterloop/shared/training/embedded/onnx"
	"github.com/litterloop/litterloop/shared/training/embedded/session"
)

func affine(v [4][]float32, epsilon float32) (scale, shift []float32) {
	scale, shift = make([]float32, len(v[0])), make([]float32, len(v[0]))
	for i := range scale {
		scale[i] = v[0][i] / float32(math.Sqrt(float64(v[3][i]+epsilon)))
		shift[i] = v[1][i] - v[2][i]*scale[i]
	}
	return scale, shift
}

// bgrName is what a model's own input is called behind the conversion of colours.
const bgrName = "images_bgr255"

// Trunk is the model from an image, [1, 3, size, size] red, green, blue from 0 to
// 1, named network.InputName, to a cut's maps.
func (m *Model) Trunk(c Cut, size int) ([]byte, []Map, error) {
	names := m.at(c)
	out, err := m.ask(names)
	if err != nil {
		return nil, nil, err
	}
	defer session.Release(out)
	maps := make([]Map, len(names))
	for i, o := range out {
		s := o.Shape()
		if len(s) != 4 || s[2] < 1 || m.probeSide()%int(s[2]) != 0 {
			return nil, nil, fmt.Errorf("tensor %q at the %s has shape %v, no map", names[i], c, s)
		}
		maps[i] = Map{names[i], int(s[1]), m.probeSide() / int(s[2])}
	}
	t := m.tail([]any{1, 3, size, size}, names)
	t.model.Outputs = nil
	for _, n := range names {
		t.model.Outputs = append(t.model.Outputs, onnx.Value{Name: n})
	}
	return t.model.Marshal(), maps, nil
}

// Raw is the inference model that ends in raw maps, [N, 4+classes, anchors] as
// Grid orders them, with the weights that were learned.
func (m *Model) Raw(params []*graph.Param, w []float32, classes int) []byte {
	t := m.trained(params, w)
	var levels []string
	for _, l := range m.Levels {
		box, score := t.level(l, params, w, classes)
		levels = append(levels, t.op("Concat", onnx.Attributes{"axis": 1}, box, t.reshape(score, 0, classes, -1)))
	}
	t.output(network.RawName, t.op("Concat", onnx.Attributes{"axis": 2}, levels...), 4+classes)
	return t.model.Marshal()
}

// Export is the model for others, as network.Export describes it.
func (m *Model) Export(params []*graph.Param, w []float32, classes []string, properties []onnx.Property) []byte {
	t := m.trained(params, w)
	var levels []string
	for _, l := range m.Levels {
		box, score := t.level(l, params, w, len(classes))
		score = t.reshape(t.op("Sigmoid", nil, score), 0, len(classes), -1)
		levels = append(levels, t.op("Concat", onnx.Attributes{"axis": 1}, t.decode(l, box), score))
	}
	t.output(network.OutputName, t.op("Concat", onnx.Attributes{"axis": 2}, levels...), 4+len(classes))
	t.model.Properties = properties
	return t.model.Marshal()
}

// tail writes what follows the model's own layers, in operators of its own
// operator set that mean the same from minOpset on.
type tail struct {
	m     *Model
	model onnx.Model
	names int
}

// tail begins with the model's layers up to outputs, and the conversion of
// colours before them.
func (m *Model) tail(shape []any, outputs []string) *tail {
	t := &tail{m: m, model: m.graph.Part([]onnx.Value{{Name: m.input, Shape: shape}}, outputs)}
	t.model.Inputs[0].Name = network.InputName
	inner := m.input
	if m.BGR255 {
		inner = bgrName
	}
	if inner != network.InputName {
		for i, n := range t.model.Nodes {
			t.model.Nodes[i] = n.WithInput(m.input, inner)
		}
	}
	var before []onnx.Node
	switch {
	case m.BGR255:
		scale, order := t.floats(nil, 255), t.ints(2, 1, 0)
		before = []onnx.Node{
			{Op: "Mul", Inputs: []string{network.InputName, scale}, Outputs: []string{"images_255"}},
			{Op: "Gather", Inputs: []string{"images_255", order}, Outputs: []string{bgrName}, Attributes: onnx.Attributes{"axis": 1}},
		}
	case inner != network.InputName:
		before = []onnx.Node{{Op: "Identity", Inputs: []string{network.InputName}, Outputs: []string{inner}}}
	}
	t.model.Nodes = append(before, t.model.Nodes...)
	return t
}

// trained is tail with the learned weights in place of the old ones.
func (m *Model) trained(params []*graph.Param, w []float32) *tail {
	shape := []any{"batch", 3, "height", "width"}
	if m.Size != 0 {
		shape = []any{1, 3, m.Size, m.Size}
	}
	t := m.tail(shape, m.predictionTensors())
	learned := map[string]*graph.Param{} // by the name that Head gave it
	for _, p := range params {
		learned[p.Name] = p
	}
	for i, n := range t.model.Nodes {
		if n.Op != "Conv" {
			continue
		}
		for input, kind := range []string{1: ".weight", 2: ".bias"} {
			if p, ok := learned[n.Outputs[0]+kind]; ok && kind != "" {
				n = n.WithInput(n.Inputs[input], t.floats(p.Shape, w[p.Offset:p.Offset+p.Size]...))
			}
		}
		t.model.Nodes[i] = n
	}
	return t
}

// level is a level's boxes as [N, 4, h*w] and its class logits as [N, classes, h, w].
func (t *tail) level(l Level, params []*graph.Param, w []float32, classes int) (box, score string) {
	if t.m.Bins > 1 {
		// [N, 4, h*w, bins], so that the softmax is over the last axis, which means
		// the same in every operator set.
		bins := make([]float32, t.m.Bins)
		for i := range bins {
			bins[i] = float32(i)
		}
		p := t.op("Transpose", onnx.Attributes{"perm": []int{0, 1, 3, 2}}, t.reshape(l.Box, 0, 4, t.m.Bins, -1))
		p = t.op("Softmax", onnx.Attributes{"axis": 3}, p)
		box = t.reshape(t.op("MatMul", nil, p, t.floats([]int{t.m.Bins, 1}, bins...)), 0, 4, -1)
	} else {
		box = t.reshape(l.Box, 0, 4, -1)
	}
	seen := l.Objectness
	if seen == "" {
		if t.m.graph.Opset >= 18 {
			seen = t.op("ReduceMax", onnx.Attributes{"keepdims": 1}, l.Class, t.ints(1))
		} else {
			seen = t.op("ReduceMax", onnx.Attributes{"axes": []int{1}, "keepdims": 1}, l.Class)
		}
	}
	var layer [2]string
	for _, p := range params {
		for i, kind := range []string{".weight", ".bias"} {
			if p.Name == ClassLayer(l.Stride)+kind {
				layer[i] = t.floats(p.Shape, w[p.Offset:p.Offset+p.Size]...)
			}
		}
	}
	fresh := t.op("Conv", onnx.Attributes{"kernel_shape": []int{1, 1}}, l.Features, layer[0], layer[1])
	return box, t.op("Add", nil, fresh, seen)
}

// decode turns a level's raw boxes [N, 4, h*w] into centre x, centre y, width
// and height in input pixels.
func (t *tail) decode(l Level, box string) string {
	size := t.op("Shape", nil, l.Box)
	axis := func(dim int, shape ...int) string {
		length := t.op("Gather", nil, size, t.scalar(dim))
		steps := t.op("Cast", onnx.Attributes{"to": onnx.ElementFloat}, t.op("Range", nil, t.scalar(0), length, t.scalar(1)))
		return t.reshape(t.op("Mul", nil, t.op("Add", nil, steps, t.floats(nil, 0.5)), t.floats(nil, float32(l.Stride))), shape...)
	}
	x, y := axis(3, 1, -1), axis(2, -1, 1)
	nothing := t.floats(nil, 0)
	spread := func(a, b string) string {
		return t.reshape(t.op("Add", nil, a, t.op("Mul", nil, b, nothing)), 1, 1, -1)
	}
	points := t.op("Concat", onnx.Attributes{"axis": 1}, spread(x, y), spread(y, x))
	part := func(from, to int) string {
		return t.op("Slice", nil, box, t.ints(from), t.ints(to), t.ints(1))
	}
	first, second := part(0, 2), part(2, 4)
	stride := t.floats(nil, float32(l.Stride))
	exp := func(v string, low, high float32) string {
		return t.op("Exp", nil, t.op("Min", nil, t.op("Max", nil, v, t.floats([]int{1}, low)), t.floats([]int{1}, high)))
	}
	var centre, extent string
	if t.m.Code == network.CentreSize {
		centre = t.op("Add", nil, points, t.op("Mul", nil, t.op("Sub", nil, first, t.floats(nil, 0.5)), stride))
		extent = t.op("Mul", nil, exp(second, network.MinLogSize, network.MaxLogSize), stride)
	} else {
		if t.m.Code == network.LogDistances {
			first, second = exp(first, network.MinLog, network.MaxLog), exp(second, network.MinLog, network.MaxLog)
		}
		first, second = t.op("Mul", nil, first, stride), t.op("Mul", nil, second, stride)
		centre = t.op("Add", nil, points, t.op("Mul", nil, t.op("Sub", nil, second, first), t.floats(nil, 0.5)))
		extent = t.op("Add", nil, first, second)
	}
	return t.op("Concat", onnx.Attributes{"axis": 1}, centre, extent)
}

func (t *tail) output(name, tensor string, rows int) {
	t.model.Nodes = append(t.model.Nodes, onnx.Node{Op: "Identity", Inputs: []string{tensor}, Outputs: []string{name}})
	t.model.Outputs = []onnx.Value{{Name: name, Shape: []any{"batch", rows, "anchors"}}}
	if t.m.Size != 0 {
		t.model.Outputs[0].Shape = []any{1, rows, t.m.Grid(t.m.Size, t.m.Size).Len()}
	}
}

func (t *tail) name() string {
	t.names++
	return fmt.Sprintf("litterloop_%d", t.names)
}

func (t *tail) op(op string, a onnx.Attributes, inputs ...string) string {
	n := onnx.Node{Op: op, Inputs: inputs, Outputs: []string{t.name()}, Attributes: a}
	t.model.Nodes = append(t.model.Nodes, n)
	return n.Outputs[0]
}

func (t *tail) reshape(x string, shape ...int) string {
	return t.op("Reshape", nil, x, t.ints(shape...))
}

func (t *tail) floats(shape []int, v ...float32) string {
	c := onnx.Constant{Name: t.name(), Shape: shape, Floats: v}
	t.model.Constants = append(t.model.Constants, c)
	return c.Name
}

func (t *tail) ints(v ...int) string {
	c := onnx.Constant{Name: t.name(), Shape: []int{len(v)}, Ints: make([]int64, len(v))}
	for i, x := range v {
		c.Ints[i] = int64(x)
	}
	t.model.Constants = append(t.model.Constants, c)
	return c.Name
}

func (t *tail) scalar(v int) string {
	c := onnx.Constant{Name: t.name(), Ints: []int64{int64(v)}}
	t.model.Constants = append(t.model.Constants, c)
	return c.Name
}
