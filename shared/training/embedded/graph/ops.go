package graph

import "github.com/litterloop/litterloop/shared/training/embedded/onnx"

// Add sums two tensors of one shape.
func (b *Builder) Add(x, y Tensor) Tensor {
	z := Tensor{b.Op("Add", nil, x.Name, y.Name), x.Shape}
	b.tape = append(b.tape, func() {
		d := b.gradients[z.Name]
		b.addGradient(x.Name, d)
		b.addGradient(y.Name, d)
	})
	return z
}

// Concat joins tensors along an axis.
func (b *Builder) Concat(axis int, xs ...Tensor) Tensor {
	names, parts := make([]string, len(xs)), make([]int, len(xs))
	shape := append([]int(nil), xs[0].Shape...)
	shape[axis] = 0
	for i, x := range xs {
		names[i], parts[i] = x.Name, x.Shape[axis]
		shape[axis] += x.Shape[axis]
	}
	if b.weights != nil && xs[0].Shape[axis] < 0 {
		shape[axis] = -1
	}
	y := Tensor{b.Op("Concat", onnx.Attributes{"axis": axis}, names...), shape}
	b.tape = append(b.tape, func() {
		for i, d := range b.ops("Split", onnx.Attributes{"axis": axis}, len(xs), b.gradients[y.Name], b.Ints(parts...)) {
			b.addGradient(xs[i].Name, d)
		}
	})
	return y
}

// Upsample2 doubles height and width by repeating every pixel.
func (b *Builder) Upsample2(x Tensor) Tensor {
	shape := append([]int(nil), x.Shape...)
	for i := 2; i < 4; i++ {
		if shape[i] > 0 {
			shape[i] *= 2
		}
	}
	y := Tensor{b.Op("Resize", onnx.Attributes{"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"},
		x.Name, "", b.Floats([]int{4}, 1, 1, 2, 2)), shape}
	b.tape = append(b.tape, func() {
		mean := b.Op("AveragePool", onnx.Attributes{"kernel_shape": []int{2, 2}, "strides": []int{2, 2}}, b.gradients[y.Name])
		b.addGradient(x.Name, b.Op("Mul", nil, mean, b.Floats(nil, 4)))
	})
	return y
}

// Flatten makes [N,C,H,W] into [N,C,H*W].
func (b *Builder) Flatten(x Tensor) Tensor {
	area := x.Shape[2] * x.Shape[3]
	if b.weights != nil {
		area = -1
	}
	y := Tensor{b.reshape(x.Name, 0, x.Shape[1], area), []int{x.Shape[0], x.Shape[1], area}}
	b.tape = append(b.tape, func() { b.addGradient(x.Name, b.reshape(b.gradients[y.Name], x.Shape...)) })
	return y
}
