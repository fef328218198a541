package graph

import "github.com/litterloop/litterloop/shared/training/embedded/onnx"

// Reshape gives x another shape of as many values, in the same order.
func (b *Builder) Reshape(x Tensor, shape ...int) Tensor {
	y := Tensor{b.reshape(x.Name, shape...), shape}
	b.tape = append(b.tape, func() { b.addGradient(x.Name, b.reshape(b.gradients[y.Name], x.Shape...)) })
	return y
}

// Transpose puts axis order[i] of x at place i.
func (b *Builder) Transpose(x Tensor, order ...int) Tensor {
	shape, back := make([]int, len(order)), make([]int, len(order))
	for i, from := range order {
		shape[i], back[from] = x.Shape[from], i
	}
	y := Tensor{b.Op("Transpose", onnx.Attributes{"perm": order}, x.Name), shape}
	b.tape = append(b.tape, func() {
		b.addGradient(x.Name, b.Op("Transpose", onnx.Attributes{"perm": back}, b.gradients[y.Name]))
	})
	return y
}

// MatMul multiplies the matrices of the last two axes; the axes before them are
// the same in x and y.
func (b *Builder) MatMul(x, y Tensor) Tensor {
	last := len(x.Shape) - 1
	shape := append([]int(nil), x.Shape...)
	shape[last] = y.Shape[last]
	z := Tensor{b.Op("MatMul", nil, x.Name, y.Name), shape}
	b.tape = append(b.tape, func() {
		d := b.gradients[z.Name]
		b.addGradient(x.Name, b.Op("FusedMatMul", onnx.Attributes{"transB": 1}, d, y.Name))
		b.addGradient(y.Name, b.Op("FusedMatMul", onnx.Attributes{"transA": 1}, x.Name, d))
	})
	return z
}

// Softmax is exp(x) over its sum along the last axis.
func (b *Builder) Softmax(x Tensor) Tensor {
	last := len(x.Shape) - 1
	y := Tensor{b.Op("Softmax", onnx.Attributes{"axis": last}, x.Name), x.Shape}
	b.tape = append(b.tape, func() {
		// dx = y (dy - sum(dy y)).
		weighed := b.Op("Mul", nil, b.gradients[y.Name], y.Name)
		sum := b.Op("ReduceSum", onnx.Attributes{"keepdims": 1}, weighed, b.Ints(last))
		b.addGradient(x.Name, b.Op("Sub", nil, weighed, b.Op("Mul", nil, y.Name, sum)))
	})
	return y
}

// Scale multiplies x by a fixed figure.
func (b *Builder) Scale(x Tensor, by float32) Tensor {
	y := Tensor{b.Op("Mul", nil, x.Name, b.Floats(nil, by)), x.Shape}
	b.tape = append(b.tape, func() {
		b.addGradient(x.Name, b.Op("Mul", nil, b.gradients[y.Name], b.Floats(nil, by)))
	})
	return y
}
