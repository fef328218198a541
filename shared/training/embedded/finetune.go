package embedded

import (
	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/imaging"
	"github.com/litterloop/litterloop/shared/training/embedded/graph"
	"github.com/litterloop/litterloop/shared/training/embedded/network"
	"github.com/litterloop/litterloop/shared/training/embedded/pretrained"
)

// adapted is a pretrained detector whose head, or neck and head, learn new
// classes.
type adapted struct {
	model     *pretrained.Model
	names     []string
	imageSize int // while it learns
	serveSize int // afterwards
	rate      float32
	trunk     []byte
	maps      []pretrained.Map
}

// autoCut is the backbone, or the neck where what lies behind the backbone
// cannot learn.
const autoCut = "auto"

// newAdapted trains and serves a model of one size at that size, whatever the
// recipe says.
func newAdapted(data Data, r Recipe) (*adapted, Recipe, error) {
	m, err := pretrained.Open(data.Pretrained)
	if err != nil {
		return nil, r, err
	}
	if m.Size != 0 {
		r.ImageSize, r.ServeSize = m.Size, 0
	}
	a := &adapted{model: m, names: data.Classes, imageSize: r.ImageSize, serveSize: r.served(), rate: float32(r.PretrainedRate)}
	if r.ImageSize%m.MaxStride() != 0 || r.served()%m.MaxStride() != 0 {
		return nil, r, errs.Permanentf(InvalidRecipe, "image_size is %d and serve_size %d; the starting model needs multiples of %d", r.ImageSize, r.ServeSize, m.MaxStride())
	}
	cut := pretrained.Cut(r.Cut)
	if r.Cut == autoCut {
		cut = pretrained.Backbone
	}
	if a.trunk, a.maps, err = m.Trunk(cut, r.ImageSize); err != nil {
		return nil, r, err
	}
	if r.Cut != autoCut {
		return a, r, nil
	}
	if _, _, err := a.trainable(1); err != nil { // a layer whose gradient is not known here
		a.trunk, a.maps, err = m.Trunk(pretrained.Neck, r.ImageSize)
		return a, r, err
	}
	return a, r, nil
}

func (a *adapted) trainable(photos int) (*graph.Builder, graph.Pair, error) {
	b := graph.New()
	out, err := a.model.Head(b, a.maps, photos, a.imageSize, len(a.names), a.rate)
	if err != nil {
		return nil, graph.Pair{}, errs.Permanentf(pretrained.Unsupported, "%w; set the recipe's cut to %q", err, pretrained.Neck)
	}
	return b, b.Train(out), nil
}

func (a *adapted) still() still {
	s := still{model: a.trunk}
	for _, m := range a.maps {
		s.outputs = append(s.outputs, m.Name)
		s.shapes = append(s.shapes, []int{m.Channels, a.imageSize / m.Stride, a.imageSize / m.Stride})
	}
	return s
}

func (a *adapted) grid(height, width int) *network.Grid { return a.model.Grid(height, width) }

func (a *adapted) raw(params []*graph.Param, w graph.Weights) ([]byte, error) {
	return a.model.Raw(params, w.Params, len(a.names)), nil
}

func (a *adapted) export(params []*graph.Param, w graph.Weights) ([]byte, error) {
	return a.model.Export(params, w.Params, a.names, network.Properties(a.names, a.serveSize)), nil
}

// fit is the smallest input of a model of any shape, the only one of another.
func (a *adapted) fit(im *imaging.Image) imaging.Geometry {
	if a.model.Size != 0 {
		return imaging.Fit(im.W, im.H, a.serveSize, a.serveSize)
	}
	return imaging.FitRect(im.W, im.H, a.serveSize, a.serveSize, a.model.MaxStride())
}

func (a *adapted) classes() []string { return a.names }

// licence is the starting model's: what was learned is a work derived from it.
func (a *adapted) licence() string { return a.model.Licence }

func (a *adapted) width() int { return 0 }
