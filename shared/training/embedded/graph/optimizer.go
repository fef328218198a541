package graph

import (
	"math"

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

// Hyper are the figures of one optimiser step, the backward graph's input
// "hyper". step counts from 1.
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

// Optimizer closes a training build with AdamW and an exponential moving
// average of the parameters in the backward graph, so that neither gradient
// nor parameters leave the runtime. After the flat parameters its extra inputs
// are first moments, second moments, average (each as long as the parameters)
// and hyper; its outputs are new parameters, first moments, second moments,
// average, and the gradient's norm before clipping.
func (b *Builder) Optimizer(out Tensor) Pair {
	vector := []any{b.paramSize}
	extra := []onnx.Value{{Name: "moment1", Shape: vector}, {Name: "moment2", Shape: vector}, {Name: "average", Shape: vector}, {Name: "hyper", Shape: []any{hyperSize}}}
	return b.pair(out, extra, b.adamW)
}

func (b *Builder) adamW(gradient string) []string {
	op := func(op string, inputs ...string) string { return b.Op(op, nil, inputs...) }
	scalar := func(v float32) string { return b.Floats([]int{1}, v) }
	hyper := b.ops("Split", onnx.Attributes{"axis": 0}, hyperSize, "hyper", b.Ints(1, 1, 1, 1, 1))
	rate, unbias1, unbias2, decay, average := hyper[0], hyper[1], hyper[2], hyper[3], hyper[4]

	norm := b.Op("ReduceL2", onnx.Attributes{"keepdims": 1}, gradient)
	// The least norm keeps the quotient finite when nothing has a gradient.
	clip := op("Min", scalar(1), op("Div", scalar(clipNorm), op("Max", norm, scalar(1e-12))))
	g := op("Mul", gradient, clip)
	m := op("Add", op("Mul", "moment1", scalar(beta1)), op("Mul", g, scalar(1-beta1)))
	v := op("Add", op("Mul", "moment2", scalar(beta2)), op("Mul", op("Mul", g, g), scalar(1-beta2)))
	update := op("Div", op("Mul", m, unbias1), op("Add", op("Sqrt", op("Mul", v, unbias2)), scalar(epsilon)))
	decayed := op("Mul", op("Mul", paramsName, b.Floats([]int{b.paramSize}, b.decayMask()...)), decay)
	params := op("Sub", paramsName, op("Mul", op("Add", update, decayed), rate))
	mean := op("Add", op("Mul", "average", average), op("Mul", params, op("Sub", scalar(1), average)))
	return []string{params, m, v, mean, norm}
}

// decayMask is 1 where weight decay applies.
func (b *Builder) decayMask() []float32 {
	mask := make([]float32, b.paramSize)
	for _, p := range b.params {
		if p.Decay {
			for i := range p.Size {
				mask[p.Offset+i] = 1
			}
		}
	}
	return mask
}
