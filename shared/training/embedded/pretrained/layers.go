package pretrained

import (
	"fmt"
	"slices"

	"github.com/litterloop/litterloop/shared/training/embedded/graph"
	"github.com/litterloop/litterloop/shared/training/embedded/onnx"
)

// converter writes nodes that were read as operators that learn.
type converter struct {
	m       *Model
	b       *graph.Builder
	values  map[string]graph.Tensor
	rate    float32
	shapes  map[string][]int // that Reshape gives one photo
	figures map[string]bool  // tensors made of sizes alone
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
	if c.isFigure(n) {
		c.figures[n.Outputs[0]] = true
		return nil
	}
	switch n.Op {
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
			if f, ok := g.Constants[n.Inputs[1-i]]; ok && len(f.Floats) == 1 && known(i+1) && c.values[n.Inputs[i]].Name != "" {
				set(c.b.Scale(in(i), f.Floats[0]))
				return nil
			}
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
	case "Reshape", "Transpose", "MatMul", "Softmax":
		return c.attention(n)
	default:
		return unable("its gradient is not known")
	}
	return nil
}

// isFigure tells whether a node computes with sizes alone, as exports of any size
// do to say their shapes: they are measured instead.
func (c *converter) isFigure(n onnx.Node) bool {
	if n.Op == "Constant" || n.Op == "Shape" {
		return true
	}
	for _, in := range n.Inputs {
		if _, fixed := c.m.graph.Constants[in]; !fixed && !c.figures[in] {
			return false
		}
	}
	return true
}

// attention writes the operators of which attention consists, beside the
// convolutions.
func (c *converter) attention(n onnx.Node) error {
	unable := func(why string) error {
		return fmt.Errorf("the layer %q (%s) cannot learn: %s", n.Outputs[0], n.Op, why)
	}
	x := c.values[n.Inputs[0]]
	if x.Name == "" {
		return unable("it reads no map")
	}
	var y graph.Tensor
	switch n.Op {
	case "Reshape":
		shape := slices.Clone(c.shapes[n.Outputs[0]])
		if len(shape) < 2 || shape[0] != 1 {
			return unable("it mixes photos with one another")
		}
		shape[0] = x.Shape[0]
		y = c.b.Reshape(x, shape...)
	case "Transpose":
		order, _ := n.Attributes["perm"].([]int)
		if len(order) != len(x.Shape) || order[0] != 0 {
			return unable("it mixes photos with one another")
		}
		y = c.b.Transpose(x, order...)
	case "MatMul":
		z := c.values[n.Inputs[1]]
		if last := len(x.Shape) - 2; z.Name == "" || last < 1 || len(z.Shape) != len(x.Shape) || !slices.Equal(x.Shape[:last], z.Shape[:last]) {
			return unable("only maps of one form are multiplied")
		}
		y = c.b.MatMul(x, z)
	case "Softmax":
		last := len(x.Shape) - 1
		if axis, ok := n.Attributes["axis"].(int); ok && axis != -1 && axis != last || !ok && c.m.graph.Opset < 13 {
			return unable("only the last axis is normalised")
		}
		y = c.b.Softmax(x)
	}
	c.values[n.Outputs[0]] = y
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
	axis, _ := n.Attributes["axis"].(int)
	if axis < 0 {
		axis += len(x.Shape)
	}
	if x.Name == "" || axis < 1 || axis >= len(x.Shape) {
		return fmt.Errorf("the layer %q (Split) cannot learn: it splits no map, or between photos", n.Outputs[0])
	}
	if len(sizes) == 0 {
		for range n.Outputs {
			sizes = append(sizes, x.Shape[axis]/len(n.Outputs))
		}
	}
	for i, t := range c.b.Split(axis, x, sizes...) {
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
