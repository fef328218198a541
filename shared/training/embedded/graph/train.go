package graph

import (
	"github.com/litterloop/litterloop/shared/training/embedded/onnx"
)

// Names of the training graphs' inputs and outputs beside the network's own.
const (
	paramsName   = "params"
	gradientName = "d_output"
)

// Pair is a network ready to train: two models, and the order of their inputs
// and outputs.
type Pair struct {
	Forward, Backward []byte
	// ForwardInputs: the flat parameters, then the network's inputs.
	ForwardInputs []string
	// ForwardOutputs: the network's output, the batch statistics where the
	// network normalises by batch, then, from Kept on, the kept tensors that the
	// backward graph reads.
	ForwardOutputs []string
	Kept           int
	// BackwardInputs: the gradient by the network's output; the flat
	// parameters; the network's inputs; the kept tensors.
	BackwardInputs []string
	// BackwardOutputs: the gradient by the flat parameters.
	BackwardOutputs []string
}

// Train closes a training build: it differentiates the network and splits it
// into a forward and a backward model.
func (b *Builder) Train(out Tensor) Pair {
	stats := ""
	if len(b.stats) > 0 {
		stats = b.Op("Concat", onnx.Attributes{"axis": 0}, b.stats...)
	}
	b.differentiating = true
	b.gradients[out.Name] = gradientName
	for i := len(b.tape) - 1; i >= 0; i-- {
		b.tape[i]()
	}
	flat := make([]string, len(b.params))
	for i, p := range b.params {
		flat[i] = b.reshape(b.gradients[p.Name], p.Size)
	}
	gradient := b.Op("Concat", onnx.Attributes{"axis": 0}, flat...)
	kept := b.kept()

	params := onnx.Value{Name: paramsName, Shape: []any{b.paramSize}}
	outValue := onnx.Value{Name: out.Name, Shape: dims(out.Shape)}
	forward := onnx.Model{Nodes: append(b.unpack(), b.forward...), Inputs: []onnx.Value{params}}
	forward.Outputs = []onnx.Value{outValue}
	if stats != "" {
		forward.Outputs = append(forward.Outputs, onnx.Value{Name: stats, Shape: []any{b.statSize()}})
	}
	from := len(forward.Outputs)
	backward := onnx.Model{Nodes: append(b.unpack(), b.backward...)}
	backward.Inputs = []onnx.Value{{Name: gradientName, Shape: outValue.Shape}, params}
	backward.Outputs = []onnx.Value{{Name: gradient, Shape: []any{b.paramSize}}}
	for _, in := range b.inputs {
		v := onnx.Value{Name: in.Name, Shape: dims(in.Shape)}
		forward.Inputs, backward.Inputs = append(forward.Inputs, v), append(backward.Inputs, v)
	}
	for _, k := range kept {
		forward.Outputs, backward.Inputs = append(forward.Outputs, onnx.Value{Name: k}), append(backward.Inputs, onnx.Value{Name: k})
	}
	forward.Constants, backward.Constants = b.constants, b.constants
	return Pair{
		Forward: forward.Marshal(), Backward: backward.Marshal(), Kept: from,
		ForwardInputs: names(forward.Inputs), ForwardOutputs: names(forward.Outputs),
		BackwardInputs: names(backward.Inputs), BackwardOutputs: names(backward.Outputs),
	}
}

// kept are the tensors that forward nodes make and backward nodes read.
func (b *Builder) kept() []string {
	made := map[string]bool{}
	for _, n := range b.forward {
		for _, o := range n.Outputs {
			made[o] = true
		}
	}
	var kept []string
	for _, n := range b.backward {
		for _, in := range n.Inputs {
			if made[in] {
				made[in] = false // once is enough
				kept = append(kept, in)
			}
		}
	}
	return kept
}

// unpack are the nodes that cut the flat parameters into their arrays.
func (b *Builder) unpack() []onnx.Node {
	split := onnx.Node{Op: "Split", Attributes: onnx.Attributes{"axis": 0}}
	sizes := make([]int, len(b.params))
	nodes := make([]onnx.Node, 1, 1+len(b.params))
	for i, p := range b.params {
		sizes[i] = p.Size
		flat := p.Name + ".flat"
		split.Outputs = append(split.Outputs, flat)
		nodes = append(nodes, onnx.Node{Op: "Reshape", Inputs: []string{flat, b.Ints(p.Shape...)}, Outputs: []string{p.Name}})
	}
	split.Inputs = []string{paramsName, b.Ints(sizes...)}
	nodes[0] = split
	return nodes
}

func dims(shape []int) []any {
	d := make([]any, len(shape))
	for i, n := range shape {
		d[i] = n
	}
	return d
}

func names(vs []onnx.Value) []string {
	s := make([]string, len(vs))
	for i, v := range vs {
		s[i] = v.Name
	}
	return s
}
