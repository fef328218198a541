package embedded

import (
	"github.com/litterloop/litterloop/shared/imaging"
	"github.com/litterloop/litterloop/shared/training/embedded/graph"
	"github.com/litterloop/litterloop/shared/training/embedded/network"
)

// design is the network that a training trains: this package's own, or a
// detector that was trained before.
type design interface {
	// trainable writes the part that learns, for some square photos at a time.
	trainable(photos int) (*graph.Builder, graph.Pair, error)
	// still is the part before it, for one photo at a time; without a model where
	// everything learns.
	still() still
	grid(height, width int) *network.Grid
	// raw is the inference model that ends in network.RawName, as network.Raw.
	raw(params []*graph.Param, w graph.Weights) ([]byte, error)
	// export is the inference model for others, as network.Export.
	export(params []*graph.Param, w graph.Weights) ([]byte, error)
	// fit is where a photo lies in the input.
	fit(im *imaging.Image) imaging.Geometry
	classes() []string
	licence() string
	// width is the recipe's, where the network has one.
	width() int
}

// still is a model whose weights stay, from one photo to maps.
type still struct {
	model   []byte
	outputs []string
	shapes  [][]int // of each output, of one photo
}

// values is how many the maps of one photo hold.
func (s still) values() int {
	n := 0
	for _, shape := range s.shapes {
		n += shape[0] * shape[1] * shape[2]
	}
	return n
}

// own is this package's own network.
type own struct {
	config    network.Config
	imageSize int // while it learns
	serveSize int // afterwards
}

func (o own) trainable(photos int) (*graph.Builder, graph.Pair, error) {
	b, pair := network.Trainable(o.config, photos, o.imageSize)
	return b, pair, nil
}

func (o own) still() still { return still{} }

func (o own) grid(height, width int) *network.Grid { return network.NewGrid(height, width) }

func (o own) raw(_ []*graph.Param, w graph.Weights) ([]byte, error) {
	return network.Raw(o.config, w), nil
}

func (o own) export(_ []*graph.Param, w graph.Weights) ([]byte, error) {
	return network.Export(o.config, w, o.serveSize), nil
}

// fit is the smallest input that a model of any shape takes.
func (o own) fit(im *imaging.Image) imaging.Geometry {
	return imaging.FitRect(im.W, im.H, o.serveSize, o.serveSize, network.MaxStride)
}

func (o own) classes() []string { return o.config.Classes }

// licence of a network that holds nothing but what it learned from the data: the
// project's own.
func (o own) licence() string { return "Apache-2.0" }

func (o own) width() int { return o.config.Width }

// newDesign also returns the recipe with the sizes that the network really takes.
func newDesign(data Data, r Recipe) (design, Recipe, error) {
	if r.Name == Finetune {
		return newAdapted(data, r)
	}
	return own{network.Config{Classes: data.Classes, Width: r.Width}, r.ImageSize, r.served()}, r, nil
}
