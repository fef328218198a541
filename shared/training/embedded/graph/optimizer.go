package graph

import (
	"fmt"
	"math"
	"slices"

	"github.com/litterloop/litterloop/shared/training/embedded/onnx"
)

// Constants of AdamW (Loshchilov & Hutter 2019) as detectors are trained with
// it, and the gradient norm beyond which a step is shortened.
const (
	beta1    = 0.9
	beta2    = 0.999
	epsilon  = 1e-8
	clipNorm = 10
)

// hyperSize is the length of the vector that Hyper makes.
const hyperSize = 5

// Hyper are the figures of one step, Optimizer's input of that name. step counts from 1.
func Hyper(step int, learningRate, weightDecay, emaDecay float64) [hyperSize]float32 {
	n := float64(step)
	return [hyperSize]float32{
		float32(learningRate),
		float32(1 / (1 - math.Pow(beta1, n))),
		float32(1 / (1 - math.Pow(beta2, n))),
		float32(weightDecay),
		float32(emaDecay),
	}
}

// Optimizer is a model that takes one step of AdamW and moves an exponential
// average of the parameters along, so that neither leaves the runtime. Its
// inputs are the flat parameters, first moments, second moments, average, hyper
// (see Hyper) and as many gradients as parts, which it sums; its outputs are the
// new parameters, first moments, second moments, average, and the norm of the
// gradient before clipping.
func Optimizer(params []*Param, parts int) (model []byte, inputs, outputs []string) {
	b := New()
	op := func(op string, inputs ...string) string { return b.Op(op, nil, inputs...) }
	scalar := func(v float32) string { return b.Floats([]int{1}, v) }
	inputs = []string{paramsName, "moment1", "moment2", "average", "hyper"}
	var gradients []string
	for i := range parts {
		gradients = append(gradients, fmt.Sprintf("gradient%d", i))
	}
	inputs = append(inputs, gradients...)

	hyper := b.ops("Split", onnx.Attributes{"axis": 0}, hyperSize, "hyper", b.Ints(1, 1, 1, 1, 1))
	rate, unbias1, unbias2, decay, average := hyper[0], hyper[1], hyper[2], hyper[3], hyper[4]
	gradient := op("Sum", gradients...)
	norm := b.Op("ReduceL2", onnx.Attributes{"keepdims": 1}, gradient)
	// The least norm keeps the quotient finite when nothing has a gradient.
	clip := op("Min", scalar(1), op("Div", scalar(clipNorm), op("Max", norm, scalar(1e-12))))
	g := op("Mul", gradient, clip)
	m := op("Add", op("Mul", "moment1", scalar(beta1)), op("Mul", g, scalar(1-beta1)))
	v := op("Add", op("Mul", "moment2", scalar(beta2)), op("Mul", op("Mul", g, g), scalar(1-beta2)))
	update := op("Div", op("Mul", m, unbias1), op("Add", op("Sqrt", op("Mul", v, unbias2)), scalar(epsilon)))
	mask := decayMask(params)
	decayed := op("Mul", op("Mul", paramsName, b.Floats([]int{len(mask)}, mask...)), decay)
	change := op("Mul", op("Add", update, decayed), rate)
	if rates := vector(params, func(p *Param) float32 { return p.Rate }); slices.Min(rates) != 1 || slices.Max(rates) != 1 {
		change = op("Mul", change, b.Floats([]int{len(rates)}, rates...))
	}
	next := op("Sub", paramsName, change)
	mean := op("Add", op("Mul", "average", average), op("Mul", next, op("Sub", scalar(1), average)))
	outputs = []string{next, m, v, mean, norm}

	done := onnx.Model{Nodes: b.forward, Constants: b.constants}
	for _, in := range inputs {
		shape := []any{len(mask)}
		if in == "hyper" {
			shape = []any{hyperSize}
		}
		done.Inputs = append(done.Inputs, onnx.Value{Name: in, Shape: shape})
	}
	for _, out := range outputs {
		done.Outputs = append(done.Outputs, onnx.Value{Name: out})
	}
	return done.Marshal(), inputs, outputs
}

// decayMask is 1 where weight decay applies.
func decayMask(params []*Param) []float32 {
	return vector(params, func(p *Param) float32 {
		if p.Decay {
			return 1
		}
		return 0
	})
}

// vector repeats a figure of each parameter over its part of the flat vector.
func vector(params []*Param, figure func(*Param) float32) []float32 {
	last := params[len(params)-1]
	v := make([]float32, last.Offset+last.Size)
	for _, p := range params {
		for i := range p.Size {
			v[p.Offset+i] = figure(p)
		}
	}
	return v
}
