package graph

import (
	"math"
	"math/rand/v2"

	"github.com/litterloop/litterloop/shared/training/embedded/onnx"
)

// bnEpsilon is the usual stabiliser of a detector's batch normalisation.
const bnEpsilon = 1e-3

// conv is the geometry of a square convolution whose output is the input's
// size divided by the stride.
type conv struct {
	in, out, kernel, stride int
	padding                 int // of given layers; 0 with group 0 is that of this package's own
	group                   int // 0 and 1: one
}

func (c conv) pad() int {
	if c.group > 0 {
		return c.padding
	}
	return (c.kernel - c.stride + 1) / 2
}

func (c conv) attributes() onnx.Attributes {
	p := c.pad()
	return onnx.Attributes{"kernel_shape": []int{c.kernel, c.kernel}, "strides": []int{c.stride, c.stride}, "pads": []int{p, p, p, p}, "group": max(c.group, 1)}
}

// outputPadding makes the transposed convolution of an output of shape as large
// as the input x was.
func (c conv) outputPadding(x Tensor, shape []int) []int {
	extra := x.Shape[2] - ((shape[2]-1)*c.stride - 2*c.pad() + c.kernel)
	return []int{extra, extra}
}

func (c conv) shape(x Tensor) []int {
	s := []int{x.Shape[0], c.out, x.Shape[2], x.Shape[3]}
	for i := 2; i < 4; i++ {
		if s[i] > 0 {
			s[i] /= c.stride
		}
	}
	return s
}

// ConvBN is a convolution without bias, batch normalisation and SiLU. The
// input's height and width are multiples of the stride.
func (b *Builder) ConvBN(name string, x Tensor, out, kernel, stride int) Tensor {
	c := conv{in: x.Shape[1], out: out, kernel: kernel, stride: stride}
	w := b.param(name+".weight", true, he(c.in*kernel*kernel), out, c.in, kernel, kernel)
	gamma := b.param(name+".gamma", false, constant(1), out)
	beta := b.param(name+".beta", false, constant(0), out)
	stat := b.statSize()
	b.statSizes = append(b.statSizes, out)
	if b.weights != nil {
		y := b.Op("Conv", c.attributes(), x.Name, b.folded(c, w, gamma, stat), b.foldedBias(c, gamma, beta, stat))
		return Tensor{b.silu(y), c.shape(x)}
	}

	z := b.Op("Conv", c.attributes(), x.Name, w.Name)
	// Momentum 0 makes the "running" outputs the statistics of this batch alone.
	zero := b.Floats([]int{out}, make([]float32, out)...)
	bn := b.ops("BatchNormalization", onnx.Attributes{"epsilon": float32(bnEpsilon), "momentum": float32(0), "training_mode": 1}, 3, z, gamma.Name, beta.Name, zero, zero)
	u, mean, variance := bn[0], bn[1], bn[2]
	b.stats = append(b.stats, mean, variance)
	y := Tensor{b.silu(u), c.shape(x)}

	b.tape = append(b.tape, func() {
		dz := b.batchNormGradient(b.siluGradient(u, y.Name), z, mean, variance, gamma, beta, y.Shape)
		b.convGradient(c, x, w, dz, y.Shape)
	})
	return y
}

// batchNormGradient adds the gradients of gamma and beta, and returns that of
// the normalisation's input z, as an affine map of d and z for each channel.
func (b *Builder) batchNormGradient(d, z, mean, variance string, gamma, beta *Param, shape []int) string {
	sum := func(x string) string {
		return b.Op("ReduceSum", onnx.Attributes{"keepdims": 0}, x, b.Ints(0, 2, 3))
	}
	dbeta := sum(d)
	inverse := b.Op("Reciprocal", nil, b.Op("Sqrt", nil, b.Op("Add", nil, variance, b.Floats(nil, bnEpsilon))))
	dgamma := b.Op("Mul", nil, inverse, b.Op("Sub", nil, sum(b.Op("Mul", nil, d, z)), b.Op("Mul", nil, mean, dbeta)))
	b.gradients[gamma.Name], b.gradients[beta.Name] = dgamma, dbeta

	// dz = A*d + B*z + C with, over M values a channel,
	// A = gamma/sd, B = -A*dgamma/(sd*M), C = -A*dbeta/M - B*mean.
	perValue := b.Floats(nil, -1/float32(shape[0]*shape[2]*shape[3]))
	A := b.Op("Mul", nil, gamma.Name, inverse)
	B := b.Op("Mul", nil, b.Op("Mul", nil, A, b.Op("Mul", nil, inverse, dgamma)), perValue)
	C := b.Op("Sub", nil, b.Op("Mul", nil, b.Op("Mul", nil, A, dbeta), perValue), b.Op("Mul", nil, B, mean))
	channel := func(x string) string { return b.reshape(x, 1, shape[1], 1, 1) }
	return b.Op("Add", nil,
		b.Op("Add", nil, b.Op("Mul", nil, d, channel(A)), b.Op("Mul", nil, z, channel(B))), channel(C))
}

// Conv1x1 is a 1x1 convolution with a bias, the last layer of a head.
func (b *Builder) Conv1x1(name string, x Tensor, bias []float32) Tensor {
	c := conv{in: x.Shape[1], out: len(bias), kernel: 1, stride: 1}
	w := b.param(name+".weight", true, normal(0.01), c.out, c.in, 1, 1)
	v := b.param(name+".bias", false, func(_ *rand.Rand, w []float32) { copy(w, bias) }, c.out)
	y := Tensor{b.Op("Conv", c.attributes(), x.Name, b.value(w), b.value(v)), c.shape(x)}
	b.tape = append(b.tape, func() {
		d := b.gradients[y.Name]
		b.gradients[v.Name] = b.Op("ReduceSum", onnx.Attributes{"keepdims": 0}, d, b.Ints(0, 2, 3))
		b.convGradient(c, x, w, d, y.Shape)
	})
	return y
}

// convGradient adds the gradients of a convolution's input and weight, given
// that of its output.
func (b *Builder) convGradient(c conv, x Tensor, w *Param, dy string, shape []int) {
	if !b.isInput[x.Name] {
		b.addGradient(x.Name, b.convInputGradient(c, x, w, dy, shape))
	}
	columns := x.Name
	if c.kernel > 1 {
		columns = b.im2col(c, x.Name)
	}
	// dW = sum over the batch of dY * columns(X) transposed.
	n, area := shape[0], shape[2]*shape[3]
	dw := b.Op("FusedMatMul", onnx.Attributes{"transB": 1},
		b.reshape(dy, n, c.out, area), b.reshape(columns, n, c.in*c.kernel*c.kernel, area))
	b.gradients[w.Name] = b.Op("ReduceSum", onnx.Attributes{"keepdims": 0}, dw, b.Ints(0))
}

func (b *Builder) convInputGradient(c conv, x Tensor, w *Param, dy string, shape []int) string {
	attributes := c.attributes()
	if c.stride > 1 {
		attributes["output_padding"] = c.outputPadding(x, shape)
		return b.Op("ConvTranspose", attributes, dy, w.Name)
	}
	// At stride 1 the transposed convolution is an ordinary one, several times
	// faster: the kernel turned round, its channels exchanged.
	turned := b.Op("Transpose", onnx.Attributes{"perm": []int{1, 0, 2, 3}}, w.Name)
	if c.kernel > 1 {
		turned = b.Op("Slice", nil, turned, b.Ints(-1, -1), b.Ints(-c.kernel-1, -c.kernel-1), b.Ints(2, 3), b.Ints(-1, -1))
	}
	return b.Op("Conv", attributes, dy, turned)
}

// im2col unfolds x into a column for each output pixel, by a grouped
// convolution with one-hot kernels: one threaded operator, whatever the stride.
func (b *Builder) im2col(c conv, x string) string {
	area := c.kernel * c.kernel
	e := make([]float32, c.in*area*area)
	for i := 0; i < c.in; i++ {
		for j := range area {
			e[(i*area+j)*area+j] = 1
		}
	}
	attributes := c.attributes()
	attributes["group"] = c.in
	return b.Op("Conv", attributes, x, b.Floats([]int{c.in * area, 1, c.kernel, c.kernel}, e...))
}

// folded is the weight of a convolution with its normalisation's scale in it.
func (b *Builder) folded(c conv, w, gamma *Param, stat int) string {
	v := append([]float32(nil), b.weights.Params[w.Offset:w.Offset+w.Size]...)
	each := w.Size / c.out
	for o := range c.out {
		scale := b.foldScale(c, gamma, stat, o)
		for i := range each {
			v[o*each+i] *= scale
		}
	}
	return b.Floats(w.Shape, v...)
}

func (b *Builder) foldedBias(c conv, gamma, beta *Param, stat int) string {
	v := make([]float32, c.out)
	for o := range v {
		v[o] = b.weights.Params[beta.Offset+o] - b.weights.Stats[stat+o]*b.foldScale(c, gamma, stat, o)
	}
	return b.Floats([]int{c.out}, v...)
}

func (b *Builder) foldScale(c conv, gamma *Param, stat, o int) float32 {
	return b.weights.Params[gamma.Offset+o] / float32(math.Sqrt(float64(b.weights.Stats[stat+c.out+o])+bnEpsilon))
}

// he draws weights whose outputs keep their inputs' spread under a rectifier.
func he(fanIn int) func(*rand.Rand, []float32) {
	return normal(math.Sqrt(2 / float64(fanIn)))
}

func normal(spread float64) func(*rand.Rand, []float32) {
	return func(r *rand.Rand, w []float32) {
		for i := range w {
			w[i] = float32(r.NormFloat64() * spread)
		}
	}
}

func constant(v float32) func(*rand.Rand, []float32) {
	return func(_ *rand.Rand, w []float32) {
		for i := range w {
			w[i] = v
		}
	}
}
