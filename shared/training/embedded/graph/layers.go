package graph

import (
	"math/rand/v2"

	"github.com/litterloop/litterloop/shared/training/embedded/onnx"
)

// Convolution is a square convolution with a bias whose values are given: a
// layer of a detector that was trained before.
type Convolution struct {
	Name                string
	Weight              []float32 // [out, in/group, kernel, kernel]
	Bias                []float32 // [out]; nil where the layer has none
	Out                 int
	Kernel, Stride, Pad int
	Group               int // 1, or every channel alone
	Rate                float32
}

// Convolve applies a convolution. Its parameters are NAME.weight and NAME.bias,
// but kernels of channels that are convolved alone stay as they are: their
// gradient would cost half of a step, for one weight in a hundred.
func (b *Builder) Convolve(l Convolution, x Tensor) Tensor {
	in := x.Shape[1]
	var w, v *Param
	shape := []int{l.Out, in / l.Group, l.Kernel, l.Kernel}
	inputs := []string{x.Name, ""}
	if l.Group == 1 {
		w = b.param(l.Name+".weight", true, given(l.Weight), shape...)
		w.Rate = l.Rate
		inputs[1] = w.Name
	} else {
		inputs[1] = b.Floats(shape, l.Weight...)
	}
	if l.Bias != nil {
		v = b.param(l.Name+".bias", false, given(l.Bias), l.Out)
		v.Rate = l.Rate
		inputs = append(inputs, v.Name)
	}
	c := conv{in: in, out: l.Out, kernel: l.Kernel, stride: l.Stride, padding: l.Pad, group: l.Group}
	y := Tensor{b.Op("Conv", c.attributes(), inputs...), c.shape(x)}
	b.tape = append(b.tape, func() {
		d := b.gradients[y.Name]
		if v != nil {
			b.gradients[v.Name] = b.Op("ReduceSum", onnx.Attributes{"keepdims": 0}, d, b.Ints(0, 2, 3))
		}
		if l.Group == 1 {
			b.convGradient(c, x, w, d, y.Shape)
		} else if !b.isInput[x.Name] {
			b.addGradient(x.Name, b.depthwiseInputGradient(c, x, inputs[1], d, y.Shape))
		}
	})
	return y
}

func given(values []float32) func(*rand.Rand, []float32) {
	return func(_ *rand.Rand, w []float32) { copy(w, values) }
}

// depthwiseInputGradient is convInputGradient where every channel is convolved
// alone.
func (b *Builder) depthwiseInputGradient(c conv, x Tensor, w, dy string, shape []int) string {
	attributes := c.attributes()
	if c.stride > 1 {
		attributes["output_padding"] = c.outputPadding(x, shape)
		return b.Op("ConvTranspose", attributes, dy, w)
	}
	turned := b.Op("Slice", nil, w, b.Ints(-1, -1), b.Ints(-c.kernel-1, -c.kernel-1), b.Ints(2, 3), b.Ints(-1, -1))
	return b.Op("Conv", attributes, dy, turned)
}

// SiLU is x * sigmoid(x).
func (b *Builder) SiLU(x Tensor) Tensor {
	y := Tensor{b.silu(x.Name), x.Shape}
	b.tape = append(b.tape, func() { b.addGradient(x.Name, b.siluGradient(x.Name, y.Name)) })
	return y
}

// silu is one operator of ONNX Runtime's own, several times faster than a
// sigmoid and a product; inference graphs hold only standard operators.
func (b *Builder) silu(x string) string {
	if b.weights != nil {
		return b.Op("Mul", nil, x, b.Op("Sigmoid", nil, x))
	}
	return b.Op("QuickGelu", onnx.Attributes{"alpha": float32(1)}, x)
}

// siluGradient is dy/dx = s + y(1-s) times y's gradient. The sigmoid s is made
// again: cheaper than to keep it.
func (b *Builder) siluGradient(x, y string) string {
	gate := b.Op("Sigmoid", nil, x)
	return b.Op("Mul", nil, b.gradients[y],
		b.Op("Sub", nil, b.Op("Add", nil, gate, y), b.Op("Mul", nil, y, gate)))
}

// Sigmoid is 1/(1+exp(-x)).
func (b *Builder) Sigmoid(x Tensor) Tensor {
	y := Tensor{b.Op("Sigmoid", nil, x.Name), x.Shape}
	b.tape = append(b.tape, func() {
		slope := b.Op("Mul", nil, y.Name, b.Op("Sub", nil, b.Floats(nil, 1), y.Name))
		b.addGradient(x.Name, b.Op("Mul", nil, b.gradients[y.Name], slope))
	})
	return y
}

// LeakyReLU is x where it is positive and slope*x elsewhere; slope 0 is ReLU.
func (b *Builder) LeakyReLU(x Tensor, slope float32) Tensor {
	y := Tensor{b.Op("LeakyRelu", onnx.Attributes{"alpha": slope}, x.Name), x.Shape}
	b.tape = append(b.tape, func() {
		positive := b.Op("Greater", nil, x.Name, b.Floats(nil, 0))
		d := b.gradients[y.Name]
		b.addGradient(x.Name, b.Op("Where", nil, positive, d, b.Op("Mul", nil, d, b.Floats(nil, slope))))
	})
	return y
}

// Multiply is the product of two tensors of one shape.
func (b *Builder) Multiply(x, y Tensor) Tensor {
	z := Tensor{b.Op("Mul", nil, x.Name, y.Name), x.Shape}
	b.tape = append(b.tape, func() {
		d := b.gradients[z.Name]
		b.addGradient(x.Name, b.Op("Mul", nil, d, y.Name))
		b.addGradient(y.Name, b.Op("Mul", nil, d, x.Name))
	})
	return z
}

// Affine is scale*x + shift with fixed figures for each channel: a batch
// normalisation that has learned.
func (b *Builder) Affine(x Tensor, scale, shift []float32) Tensor {
	s := b.Floats([]int{1, len(scale), 1, 1}, scale...)
	y := Tensor{b.Op("Add", nil, b.Op("Mul", nil, x.Name, s), b.Floats([]int{1, len(shift), 1, 1}, shift...)), x.Shape}
	b.tape = append(b.tape, func() { b.addGradient(x.Name, b.Op("Mul", nil, b.gradients[y.Name], s)) })
	return y
}

// AddChannel adds y, of one channel, to every channel of x.
func (b *Builder) AddChannel(x, y Tensor) Tensor {
	z := Tensor{b.Op("Add", nil, x.Name, y.Name), x.Shape}
	b.tape = append(b.tape, func() {
		d := b.gradients[z.Name]
		b.addGradient(x.Name, d)
		b.addGradient(y.Name, b.Op("ReduceSum", onnx.Attributes{"keepdims": 1}, d, b.Ints(1)))
	})
	return z
}

// MaxChannel is the greatest of all channels, as one channel. Of equal ones each
// receives the gradient.
func (b *Builder) MaxChannel(x Tensor) Tensor {
	shape := append([]int(nil), x.Shape...)
	shape[1] = 1
	y := Tensor{b.Op("ReduceMax", onnx.Attributes{"axes": []int{1}, "keepdims": 1}, x.Name), shape}
	b.tape = append(b.tape, func() {
		chosen := b.Op("Cast", onnx.Attributes{"to": onnx.ElementFloat}, b.Op("Equal", nil, x.Name, y.Name))
		b.addGradient(x.Name, b.Op("Mul", nil, chosen, b.gradients[y.Name]))
	})
	return y
}

// MaxPool is the greatest value in a square of odd side around each pixel.
func (b *Builder) MaxPool(x Tensor, side int) Tensor {
	p := side / 2
	out := b.ops("MaxPool", onnx.Attributes{"kernel_shape": []int{side, side}, "strides": []int{1, 1}, "pads": []int{p, p, p, p}}, 2, x.Name)
	y := Tensor{out[0], x.Shape}
	// Tensors between the two graphs are float32, which holds indices below 2^24.
	at := b.Op("Cast", onnx.Attributes{"to": onnx.ElementFloat}, out[1])
	b.tape = append(b.tape, func() {
		n := size(x.Shape)
		zero := b.Op("Mul", nil, b.reshape(x.Name, n), b.Floats(nil, 0))
		where := b.Op("Cast", onnx.Attributes{"to": onnx.ElementInt64}, b.reshape(at, n))
		sum := b.Op("ScatterElements", onnx.Attributes{"axis": 0, "reduction": "add"}, zero, where, b.reshape(b.gradients[y.Name], n))
		b.addGradient(x.Name, b.reshape(sum, x.Shape...))
	})
	return y
}

// Split cuts an axis into parts of the given sizes.
func (b *Builder) Split(axis int, x Tensor, sizes ...int) []Tensor {
	names := b.ops("Split", onnx.Attributes{"axis": axis}, len(sizes), x.Name, b.Ints(sizes...))
	parts := make([]Tensor, len(sizes))
	for i, n := range sizes {
		shape := append([]int(nil), x.Shape...)
		shape[axis] = n
		parts[i] = Tensor{names[i], shape}
	}
	b.tape = append(b.tape, func() {
		ds := make([]string, len(parts))
		for i, p := range parts {
			d, read := b.gradients[p.Name]
			if !read { // nothing after it learns
				d = b.Op("Mul", nil, p.Name, b.Floats(nil, 0))
			}
			ds[i] = d
		}
		b.addGradient(x.Name, b.Op("Concat", onnx.Attributes{"axis": axis}, ds...))
	})
	return parts
}

// Expectation turns [N, groups*bins, H, W] logits into [N, groups, H, W]: of each
// group the mean of 0..bins-1 under its softmax (the integral of Li et al. 2020,
// "Generalized Focal Loss", 3.2).
func (b *Builder) Expectation(x Tensor, groups int) Tensor {
	n, bins, h, w := x.Shape[0], x.Shape[1]/groups, x.Shape[2], x.Shape[3]
	steps := make([]float32, bins)
	for i := range steps {
		steps[i] = float32(i)
	}
	position := b.Floats([]int{1, 1, bins, 1}, steps...)
	p := b.Op("Softmax", onnx.Attributes{"axis": 2}, b.reshape(x.Name, n, groups, bins, h*w))
	mean := b.Op("ReduceSum", onnx.Attributes{"keepdims": 1}, b.Op("Mul", nil, p, position), b.Ints(2))
	y := Tensor{b.reshape(mean, n, groups, h, w), []int{n, groups, h, w}}
	b.tape = append(b.tape, func() {
		// dmean/dlogit_k = p_k (k - mean).
		d := b.reshape(b.gradients[y.Name], n, groups, 1, h*w)
		slope := b.Op("Mul", nil, p, b.Op("Sub", nil, position, mean))
		b.addGradient(x.Name, b.reshape(b.Op("Mul", nil, slope, d), x.Shape...))
	})
	return y
}
