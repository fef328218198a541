package pretrained

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/litterloop/litterloop/shared/training/embedded/graph"
	"github.com/litterloop/litterloop/shared/training/embedded/onnx"
)

// Cut says where the part that stays as it is ends.
type Cut string

// Cuts, from the one that leaves least to learn.
const (
	// Neck leaves the head of each stride to learn.
	Neck Cut = "neck"
	// Backbone leaves neck and head.
	Backbone Cut = "backbone"
)

// at are the tensors that a cut gives the learning part.
func (m *Model) at(c Cut) []string {
	var cut []string
	add := func(t string) {
		if !slices.Contains(cut, t) {
			cut = append(cut, t)
		}
	}
	if c == Neck {
		for _, l := range m.Levels {
			add(l.Neck)
		}
		return cut
	}
	// The neck begins where maps are enlarged for the first time: what comes of
	// an enlarged map is the neck's or the head's.
	enlarged := map[string]bool{}
	for _, n := range m.graph.Nodes {
		if n.Op == "Resize" || n.Op == "Upsample" || n.Op == "ConvTranspose" || slices.ContainsFunc(n.Inputs, func(in string) bool { return enlarged[in] }) {
			for _, o := range n.Outputs {
				enlarged[o] = true
			}
		}
	}
	needed := m.graph.Between(nil, m.predictionTensors())
	for _, n := range needed {
		if !enlarged[n.Outputs[0]] {
			continue
		}
		for _, in := range n.Inputs {
			if _, weight := m.graph.Constants[in]; in != "" && !weight && !enlarged[in] && m.fromImage(in) {
				add(in)
			}
		}
	}
	for _, l := range m.Levels {
		if !enlarged[l.Neck] {
			add(l.Neck)
		}
	}
	return cut
}

func (m *Model) fromImage(tensor string) bool {
	_, ok := m.ancestors(tensor)[m.input]
	return ok
}

// predictionTensors are what the head must give, level by level.
func (m *Model) predictionTensors() []string {
	var ts []string
	for _, l := range m.Levels {
		ts = append(ts, l.Box, l.Features)
		if l.Objectness != "" {
			ts = append(ts, l.Objectness)
		} else {
			ts = append(ts, l.Class)
		}
	}
	return ts
}

// ClassLayer names the new layer of a level's classes; its parameters are
// NAME.weight and NAME.bias, with one row a class.
func ClassLayer(stride int) string { return fmt.Sprintf("class%d", stride) }

// Map is a tensor at a cut: its name, channels and stride.
type Map struct {
	Name             string
	Channels, Stride int
}

// Head writes what lies behind a cut as layers that learn, for batches of
// square images; maps are the cut's, as Trunk tells them. The output is
// [batch, 4+classes, anchors] as Grid orders them. The new class layers start near
// zero and are added to the old objectness, or, where there is none, to the
// greatest of the old classes: so the first scores are those of the detector as
// it was, whatever it saw. rate multiplies the learning rate of what was trained
// before.
func (m *Model) Head(b *graph.Builder, maps []Map, batch, size, classes int, rate float32) (graph.Tensor, error) {
	values := map[string]graph.Tensor{}
	var cut []string
	for _, in := range maps {
		values[in.Name] = b.Input(in.Name, batch, in.Channels, size/in.Stride, size/in.Stride)
		cut = append(cut, in.Name)
	}
	c := converter{m: m, b: b, values: values, rate: rate}
	for _, n := range m.graph.Between(cut, m.predictionTensors()) {
		if err := c.node(n); err != nil {
			return graph.Tensor{}, err
		}
	}
	var levels []graph.Tensor
	for _, l := range m.Levels {
		box, features := values[l.Box], values[l.Features]
		if m.Bins > 1 {
			box = b.Expectation(box, 4)
		}
		seen := values[l.Objectness]
		if l.Objectness == "" {
			seen = b.MaxChannel(values[l.Class])
		}
		fresh := b.Convolve(graph.Convolution{
			Name: ClassLayer(l.Stride), Out: classes, Kernel: 1, Stride: 1, Group: 1, Rate: 1,
			Weight: nearZero(l.Stride, classes, features.Shape[1]), Bias: make([]float32, classes),
		}, features)
		levels = append(levels, b.Flatten(b.Concat(1, box, b.AddChannel(fresh, seen))))
	}
	return b.Concat(2, levels...), nil
}

// nearZero are the first weights of a new class layer: zero for a lone class;
// of several just enough that no two score the same, since of equal scores an
// inference server may choose another class than the trainer.
func nearZero(stride, classes, channels int) []float32 {
	w := make([]float32, classes*channels)
	if classes > 1 {
		r := rand.New(rand.NewPCG(uint64(stride), uint64(classes)))
		for i := range w {
			w[i] = float32(r.NormFloat64() * 0.01)
		}
	}
	return w
}

// converter writes nodes that were read as operators that learn.
type converter struct {
	m      *Model
	b      *graph.Builder
	values map[string]graph.Tensor
	rate   float32
}

func (c *converter) node(n onnx.Node) error {
	g := c.m.graph
	in := func(i int) graph.Tensor { return c.values[n.Inputs[i]] }
	known := func(count int) bool {
		for i := range count {
			if i >= len(n.Inputs) || c.values[n.Inputs[i]].Name == "" {
				return false
			}
		}
		return true
	}
	set := func(t graph.Tensor) { c.values[n.Outputs[0]] = t }
	unable := func(why string) error {
		return fmt.Errorf("the layer %q (%s) cannot learn: %s", n.Outputs[0], n.Op, why)
	}
	switch n.Op {
	case "Constant":
		return nil
	case "Conv":
		if !known(1) {
			return unable("it reads no map")
		}
		return c.convolution(n)
	case "Sigmoid":
		if !known(1) {
			return unable("it reads no map")
		}
		// Read by its own product alone it is half of a SiLU, made whole there.
		if rs := g.Readers(n.Outputs[0]); len(rs) == 1 && rs[0].Op == "Mul" && slices.Contains(rs[0].Inputs, n.Inputs[0]) {
			return nil
		}
		set(c.b.Sigmoid(in(0)))
	case "Mul":
		for i := range 2 {
			p, ok := g.Producer(n.Inputs[1-i])
			if ok && p.Op == "Sigmoid" && p.Inputs[0] == n.Inputs[i] && known(i+1) {
				set(c.b.SiLU(in(i)))
				return nil
			}
		}
		if !known(2) || !slices.Equal(in(0).Shape, in(1).Shape) {
			return unable("only maps of one shape are multiplied")
		}
		set(c.b.Multiply(in(0), in(1)))
	case "Relu":
		set(c.b.LeakyReLU(in(0), 0))
	case "LeakyRelu":
		slope, ok := n.Attributes["alpha"].(float32)
		if !ok {
			slope = 0.01 // the operator's default
		}
		set(c.b.LeakyReLU(in(0), slope))
	case "Add":
		if !known(2) || !slices.Equal(in(0).Shape, in(1).Shape) {
			return unable("only maps of one shape are added")
		}
		set(c.b.Add(in(0), in(1)))
	case "Concat":
		if !known(len(n.Inputs)) || n.Attributes["axis"] != 1 {
			return unable("only channels are joined")
		}
		var xs []graph.Tensor
		for i := range n.Inputs {
			xs = append(xs, in(i))
		}
		set(c.b.Concat(1, xs...))
	case "Resize":
		if !known(1) || n.Attributes["mode"] != nil && n.Attributes["mode"] != "nearest" {
			return unable("only doubling by the nearest pixel is known")
		}
		set(c.b.Upsample2(in(0)))
	case "MaxPool":
		k, _ := n.Attributes["kernel_shape"].([]int)
		s, _ := n.Attributes["strides"].([]int)
		p, _ := n.Attributes["pads"].([]int)
		if !known(1) || len(k) != 2 || k[0] != k[1] || k[0]%2 == 0 || len(s) == 2 && (s[0] != 1 || s[1] != 1) || len(p) != 4 || p[0] != k[0]/2 {
			return unable("only odd squares at stride 1 are pooled")
		}
		set(c.b.MaxPool(in(0), k[0]))
	case "Split":
		return c.split(n)
	case "BatchNormalization":
		return c.normalisation(n)
	case "Identity":
		set(in(0))
	default:
		return unable("its gradient is not known")
	}
	return nil
}

func (c *converter) split(n onnx.Node) error {
	x := c.values[n.Inputs[0]]
	sizes, _ := n.Attributes["split"].([]int)
	if len(n.Inputs) > 1 {
		for _, v := range c.m.graph.Constants[n.Inputs[1]].Ints {
			sizes = append(sizes, int(v))
		}
	}
	if x.Name == "" || n.Attributes["axis"] != 1 {
		return fmt.Errorf("the layer %q (Split) cannot learn: only channels are split", n.Outputs[0])
	}
	if len(sizes) == 0 {
		for range n.Outputs {
			sizes = append(sizes, x.Shape[1]/len(n.Outputs))
		}
	}
	for i, t := range c.b.Split(x, sizes...) {
		c.values[n.Outputs[i]] = t
	}
	return nil
}

// convolution keeps a layer's weights, as parameters named like its tensors.
func (c *converter) convolution(n onnx.Node) error {
	x := c.values[n.Inputs[0]]
	unable := func(why string) error {
		return fmt.Errorf("the layer %q (Conv) cannot learn: %s", n.Outputs[0], why)
	}
	w := c.m.graph.Constants[n.Inputs[1]]
	if w.Element != onnx.ElementFloat || len(w.Shape) != 4 || w.Shape[2] != w.Shape[3] {
		return unable("its kernel is no float32 square")
	}
	l := graph.Convolution{Name: n.Outputs[0], Weight: w.Floats, Out: w.Shape[0], Kernel: w.Shape[2], Stride: 1, Group: 1, Rate: c.rate}
	if len(n.Inputs) > 2 && n.Inputs[2] != "" {
		l.Bias = c.m.graph.Constants[n.Inputs[2]].Floats
		if len(l.Bias) != l.Out {
			return unable("its bias is no float32 vector")
		}
	}
	if s, ok := n.Attributes["strides"].([]int); ok {
		l.Stride = s[0]
	}
	if p, ok := n.Attributes["pads"].([]int); ok {
		if slices.Min(p) != slices.Max(p) {
			return unable("its margins differ")
		}
		l.Pad = p[0]
	}
	if g, ok := n.Attributes["group"].(int); ok {
		l.Group = g
	}
	if d, ok := n.Attributes["dilations"].([]int); ok && slices.Max(d) > 1 {
		return unable("its kernel is dilated")
	}
	if l.Group != 1 && (l.Group != x.Shape[1] || l.Group != l.Out) {
		return unable("its channels are in groups of several")
	}
	if l.Stride == 1 && l.Pad != (l.Kernel-1)/2 || l.Stride > 1 && (x.Shape[2]+2*l.Pad-l.Kernel)/l.Stride+1 != x.Shape[2]/l.Stride {
		return unable("its output is not its input's size divided by its stride")
	}
	c.values[n.Outputs[0]] = c.b.Convolve(l, x)
	return nil
}

// normalisation is fixed: what it learned is an affine map of each channel.
func (c *converter) normalisation(n onnx.Node) error {
	x := c.values[n.Inputs[0]]
	var v [4][]float32 // scale, bias, mean, variance
	for i := range v {
		v[i] = c.m.graph.Constants[n.Inputs[1+i]].Floats
	}
	epsilon, ok := n.Attributes["epsilon"].(float32)
	if !ok {
		epsilon = 1e-5 // the operator's default
	}
	if x.Name == "" || len(v[0]) != x.Shape[1] {
		return fmt.Errorf("the layer %q (BatchNormalization) cannot learn: its figures are not in the file", n.Outputs[0])
	}
	scale, shift := affine(v, epsilon)
	c.values[n.Outputs[0]] = c.b.Affine(x, scale, shift)
	return nil
}
