package pretrained

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/litterloop/litterloop/shared/training/embedded/graph"
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
	nodes := m.graph.Between(cut, m.predictionTensors())
	var reshaped []string
	for _, n := range nodes {
		if n.Op == "Reshape" {
			reshaped = append(reshaped, n.Outputs[0])
		}
	}
	shapes, err := m.shapes(size, reshaped)
	if err != nil {
		return graph.Tensor{}, err
	}
	c := converter{m: m, b: b, values: values, rate: rate, shapes: shapes, figures: map[string]bool{}}
	for _, n := range nodes {
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
