// Package graph builds a network as ONNX graphs: for training a forward graph
// and a backward graph that also takes the optimiser's step, for inference one
// graph with the batch normalisations folded into their convolutions.
//
// ONNX Runtime has no training API any more, and no Go library has a fast
// convolution gradient; but every gradient here can be said in ordinary ONNX
// operators, so the runtime's own kernels train the network.
//
// Shapes are NCHW. A Builder is for one graph (or pair) and one goroutine.
package graph

import (
	"fmt"
	"math/rand/v2"

	"github.com/litterloop/litterloop/shared/training/embedded/onnx"
)

// Tensor is a value of the graph under construction. In an inference graph the
// batch, the height and the width are unknown and hold -1.
type Tensor struct {
	Name  string
	Shape []int
}

// Param is one trainable array inside the flat vector of all parameters.
type Param struct {
	Name   string
	Shape  []int
	Offset int // into the flat vector
	Size   int
	Decay  bool    // weight decay applies (not to biases and normalisations)
	Rate   float32 // multiplies the learning rate; 1 unless set before Optimizer
	init   func(r *rand.Rand, w []float32)
}

// Weights are a trained network's: its flat parameters, and the mean and
// variance of every batch normalisation as Train's forward graph puts them out.
type Weights struct {
	Params []float32
	Stats  []float32
}

// Builder collects the operators of a network.
type Builder struct {
	weights   *Weights // nil while training
	params    []*Param
	paramSize int
	statSizes []int    // means of each normalisation, as many variances after them
	stats     []string // names of the batch means and variances, in order

	forward, backward []onnx.Node
	constants         []onnx.Constant
	inputs            []Tensor
	isInput           map[string]bool
	tape              []func()          // each adds one operator's gradient; run in reverse
	gradients         map[string]string // of tensors and parameters, by name
	differentiating   bool
	names             int
}

// New starts a graph for training.
func New() *Builder {
	return &Builder{gradients: map[string]string{}, isInput: map[string]bool{}}
}

// NewInference starts a graph with fixed weights; its batch, height and width
// are free.
func NewInference(w Weights) *Builder {
	b := New()
	b.weights = &w
	return b
}

// Input declares an input. No gradient flows to it.
func (b *Builder) Input(name string, shape ...int) Tensor {
	t := Tensor{Name: name, Shape: shape}
	b.inputs = append(b.inputs, t)
	b.isInput[name] = true
	return t
}

// Params are the parameters so far, in the order of the flat vector.
func (b *Builder) Params() []*Param { return b.params }

// ParamSize is the length of the flat vector of parameters.
func (b *Builder) ParamSize() int { return b.paramSize }

// InitialStats are statistics that normalise nothing: means of 0, variances of 1.
func (b *Builder) InitialStats() []float32 {
	s := make([]float32, 0, b.statSize())
	for _, n := range b.statSizes {
		s = append(s, make([]float32, n)...)
		for range n {
			s = append(s, 1)
		}
	}
	return s
}

func (b *Builder) statSize() int {
	n := 0
	for _, s := range b.statSizes {
		n += 2 * s
	}
	return n
}

// Initial draws first values for every parameter. The same seed gives the same
// values.
func (b *Builder) Initial(seed uint64) []float32 {
	w := make([]float32, b.paramSize)
	for i, p := range b.params {
		// A stream for each parameter: one added later leaves the others as they were.
		p.init(rand.New(rand.NewPCG(seed, uint64(i))), w[p.Offset:p.Offset+p.Size])
	}
	return w
}

// Op adds an operator without a gradient (for what follows a network in an
// inference graph) and names its output.
func (b *Builder) Op(op string, attributes onnx.Attributes, inputs ...string) string {
	return b.ops(op, attributes, 1, inputs...)[0]
}

// Ops is Op for an operator of n outputs.
func (b *Builder) Ops(op string, attributes onnx.Attributes, n int, inputs ...string) []string {
	return b.ops(op, attributes, n, inputs...)
}

// Floats adds a constant of float32; a nil shape makes a scalar.
func (b *Builder) Floats(shape []int, v ...float32) string {
	c := onnx.Constant{Name: b.name("float"), Shape: shape, Floats: v}
	b.constants = append(b.constants, c)
	return c.Name
}

// Ints adds a vector constant of int64.
func (b *Builder) Ints(v ...int) string {
	c := onnx.Constant{Name: b.name("int"), Shape: []int{len(v)}, Ints: make([]int64, len(v))}
	for i, x := range v {
		c.Ints[i] = int64(x)
	}
	b.constants = append(b.constants, c)
	return c.Name
}

// IntScalar adds a scalar constant of int64.
func (b *Builder) IntScalar(v int) string {
	c := onnx.Constant{Name: b.name("int"), Ints: []int64{int64(v)}}
	b.constants = append(b.constants, c)
	return c.Name
}

// Inference closes an inference graph with the given inputs, outputs and metadata.
func (b *Builder) Inference(inputs, outputs []onnx.Value, properties []onnx.Property) []byte {
	return onnx.Model{Nodes: b.forward, Constants: b.constants, Inputs: inputs, Outputs: outputs, Properties: properties}.Marshal()
}

// Rename gives a value of the finished graph the name that its reader expects.
func (b *Builder) Rename(from, to string) {
	b.emit(onnx.Node{Op: "Identity", Inputs: []string{from}, Outputs: []string{to}})
}

func (b *Builder) name(prefix string) string {
	b.names++
	return fmt.Sprintf("%s_%d", prefix, b.names)
}

func (b *Builder) ops(op string, attributes onnx.Attributes, n int, inputs ...string) []string {
	outputs := make([]string, n)
	for i := range outputs {
		outputs[i] = b.name(op)
	}
	node := onnx.Node{Op: op, Inputs: inputs, Outputs: outputs, Attributes: attributes}
	if op == "FusedMatMul" || op == "QuickGelu" {
		node.Domain = onnx.Microsoft
	}
	b.emit(node)
	return outputs
}

func (b *Builder) emit(n onnx.Node) {
	if b.differentiating {
		b.backward = append(b.backward, n)
	} else {
		b.forward = append(b.forward, n)
	}
}

func (b *Builder) reshape(x string, shape ...int) string {
	return b.Op("Reshape", nil, x, b.Ints(shape...))
}

func (b *Builder) param(name string, decay bool, init func(*rand.Rand, []float32), shape ...int) *Param {
	p := &Param{Name: name, Shape: shape, Offset: b.paramSize, Size: size(shape), Decay: decay, Rate: 1, init: init}
	b.paramSize += p.Size
	b.params = append(b.params, p)
	return p
}

// value names a parameter's value: an input's part while training, a constant
// in an inference graph.
func (b *Builder) value(p *Param) string {
	if b.weights == nil {
		return p.Name
	}
	return b.Floats(p.Shape, b.weights.Params[p.Offset:p.Offset+p.Size]...)
}

// addGradient adds d to the gradient of x: a tensor read twice receives both.
func (b *Builder) addGradient(x, d string) {
	if b.isInput[x] {
		return
	}
	if old, ok := b.gradients[x]; ok {
		d = b.Op("Add", nil, old, d)
	}
	b.gradients[x] = d
}

func size(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}
