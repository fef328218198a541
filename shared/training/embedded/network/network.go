// Package network is the detector that the embedded trainer trains: a small
// anchor-free convolutional network with a residual backbone, a top-down neck,
// and at strides 8, 16 and 32 one map each of box distances and class logits.
//
// At an anchor point (ax, ay) of stride s the four box outputs t are logarithms
// of the distances to the left, top, right and bottom edge in units of s.
package network

import (
	"fmt"
	"math"
	"strings"

	"github.com/litterloop/litterloop/shared/training/embedded/graph"
	"github.com/litterloop/litterloop/shared/training/embedded/onnx"
)

// Strides of the three output maps, in input pixels.
var Strides = [3]int{8, 16, 32}

// MaxStride divides every input's height and width.
const MaxStride = 32

// Box outputs are kept inside these before exp: distances from a twentieth to
// ninety strides.
const (
	MinLog = -3.0
	MaxLog = 4.5
)

// priorScore is the class score an untrained head starts from, so that the
// many empty anchors do not drown the first steps (Lin et al. 2017, 4.1).
const priorScore = 0.01

// Config says how large the network is.
type Config struct {
	Classes []string
	// Width is a quarter of the neck's channels; the backbone has 2, 3, 5 and 8
	// times Width at strides 4, 8, 16 and 32.
	Width int
}

// Names of the models' inputs and outputs.
const (
	InputName  = "images"
	OutputName = "output0" // of Export
	RawName    = "raw"     // of Raw
)

// Trainable builds the network for batches of square images.
func Trainable(c Config, batch, size int) (*graph.Builder, graph.Pair) {
	b := graph.New()
	return b, b.Train(c.trainingOutput(b, batch, size))
}

// Initial draws the weights of a network that has learned nothing, with
// normalisations that leave their input as it is, and tells which parameters
// lie where.
func Initial(c Config, seed uint64) (graph.Weights, []*graph.Param) {
	b := graph.New()
	c.trainingOutput(b, 1, MaxStride)
	return graph.Weights{Params: b.Initial(seed), Stats: b.InitialStats()}, b.Params()
}

// trainingOutput is [N, 4+classes, anchors], anchors in the order of Grid.
func (c Config) trainingOutput(b *graph.Builder, batch, size int) graph.Tensor {
	var flat []graph.Tensor
	for _, m := range c.maps(b, b.Input(InputName, batch, 3, size, size)) {
		flat = append(flat, b.Flatten(m))
	}
	return b.Concat(2, flat...)
}

// maps builds the network; it returns the output map of each stride.
func (c Config) maps(b *graph.Builder, images graph.Tensor) []graph.Tensor {
	w := c.Width
	x := b.ConvBN("stem", images, 2*w, 6, 4)
	x = residual(b, "stage4.0", x)
	x = b.ConvBN("down8", x, 3*w, 3, 2)
	p3 := residual(b, "stage8.0", x)
	x = b.ConvBN("down16", p3, 5*w, 3, 2)
	p4 := residual(b, "stage16.1", residual(b, "stage16.0", x))
	x = b.ConvBN("down32", p4, 8*w, 3, 2)
	p5 := residual(b, "stage32.1", residual(b, "stage32.0", x))

	neck := 4 * w
	n5 := b.ConvBN("lateral32", p5, neck, 1, 1)
	n4 := b.ConvBN("fuse16", b.Add(b.Upsample2(n5), b.ConvBN("lateral16", p4, neck, 1, 1)), neck, 3, 1)
	// No fusing convolution here: it would be the costliest layer of all, and
	// without it the network learns faster as well (docs/decisions/0040).
	n3 := b.Add(b.Upsample2(n4), b.ConvBN("lateral8", p3, neck, 1, 1))
	var maps []graph.Tensor
	for i, n := range []graph.Tensor{n3, n4, n5} {
		h := b.Add(n, b.ConvBN(fmt.Sprintf("head%d", Strides[i]), n, neck, 3, 1))
		maps = append(maps, b.Concat(1,
			b.Conv1x1(BoxLayer(i), h, fill(4, math.Log(1.5))),
			b.Conv1x1(ClassLayer(i), h, fill(len(c.Classes), -math.Log(1/priorScore-1)))))
	}
	return maps
}

// BoxLayer and ClassLayer name the last layers of a stride's head; their
// parameters are NAME.weight and NAME.bias, the class layer's with one row a
// class.
func BoxLayer(stride int) string { return fmt.Sprintf("box%d", Strides[stride]) }

// ClassLayer is described at BoxLayer.
func ClassLayer(stride int) string { return fmt.Sprintf("class%d", Strides[stride]) }

// IsClassLayer says whether a parameter has one row a class.
func IsClassLayer(param string) bool { return strings.HasPrefix(param, "class") }

// IsBoxLayer says whether a parameter belongs to the box outputs.
func IsBoxLayer(param string) bool { return strings.HasPrefix(param, "box") }

func residual(b *graph.Builder, name string, x graph.Tensor) graph.Tensor {
	channels := x.Shape[1]
	return b.Add(x, b.ConvBN(name+".b", b.ConvBN(name+".a", x, channels/2, 1, 1), channels, 3, 1))
}

func fill(n int, v float64) []float32 {
	f := make([]float32, n)
	for i := range f {
		f[i] = float32(v)
	}
	return f
}

// dynamicInput declares [batch, 3, height, width] with only 3 known.
func dynamicInput(b *graph.Builder) (graph.Tensor, []onnx.Value) {
	return b.Input(InputName, -1, 3, -1, -1),
		[]onnx.Value{{Name: InputName, Shape: []any{"batch", 3, "height", "width"}}}
}
