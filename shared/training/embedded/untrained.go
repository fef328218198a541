package embedded

import (
	"errors"
	"math"
	"math/rand/v2"
	"strings"

	"gonum.org/v1/gonum/stat"

	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/training/embedded/graph"
	"github.com/litterloop/litterloop/shared/training/embedded/network"
	"github.com/litterloop/litterloop/shared/training/embedded/session"
)

// Untrained is a model of random weights that has learned nothing and yet
// detects, at scores on both sides of the usual thresholds: a fixture for what
// handles models, made in a moment and the same for the same arguments.
// imageSize is a multiple of 32. Close it when done.
func Untrained(classes []string, imageSize int, seed uint64) (*Model, error) {
	if err := (Data{Classes: classes, Train: make([]Sample, 1)}).validate(); err != nil {
		return nil, err
	}
	if imageSize < network.MaxStride || imageSize%network.MaxStride != 0 {
		return nil, errs.Permanentf(InvalidRecipe, "image size %d is not a multiple of %d", imageSize, network.MaxStride)
	}
	c := network.Config{Classes: classes, Width: 4}
	w, params := network.Initial(c, seed)
	if err := spread(c, w, params, imageSize, seed); err != nil {
		return nil, err
	}
	cp := checkpoint{checkpointHeader: checkpointHeader{Classes: classes, Width: c.Width, Layers: layers(params)}, Average: w.Params}
	data, err := cp.marshal()
	if err != nil {
		return nil, err
	}
	m := &Model{Classes: classes, ImageSize: imageSize, ONNX: network.Export(c, w, imageSize), Checkpoint: data}
	m.predictor, err = newPredictor(own{c, imageSize, imageSize}, params, w, 1)
	return m, err
}

// spread scales the last layers so that boxes and scores differ from place to
// place: class logits around -2, one box in ten above a score of 0.5.
func spread(c network.Config, w graph.Weights, params []*graph.Param, imageSize int, seed uint64) (err error) {
	scale := func(layer func(string) bool, gain, bias float64) {
		for _, p := range params {
			for i := p.Offset; layer(p.Name) && i < p.Offset+p.Size; i++ {
				if strings.HasSuffix(p.Name, ".weight") {
					w.Params[i] *= float32(gain)
				} else {
					w.Params[i] = float32(bias)
				}
			}
		}
	}
	scale(network.IsClassLayer, 1, 0)
	scale(network.IsBoxLayer, 1, 0)
	p, err := newPredictor(own{c, imageSize, imageSize}, params, w, 1)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	const side = 128
	images, err := session.NewTensor(patches(seed, side), 1, 3, side, side)
	if err != nil {
		return err
	}
	defer images.Release()
	out, err := p.session.Run(images)
	if err != nil {
		return err
	}
	defer session.Release(out)
	boxes := 4 * network.NewGrid(side, side).Len()
	_, deviation := stat.MeanStdDev(doubles(out[0].Data[:boxes]), nil)
	scale(network.IsBoxLayer, 0.4/deviation, math.Log(1.5))
	mean, deviation := stat.MeanStdDev(doubles(out[0].Data[boxes:]), nil)
	scale(network.IsClassLayer, 1.5/deviation, -2-1.5/deviation*mean)
	return nil
}

// patches is an input of coloured squares of 8 pixels.
func patches(seed uint64, side int) []float32 {
	r := rand.New(rand.NewPCG(seed, 0))
	data := make([]float32, 3*side*side)
	for i := range data {
		y, x := i/side, i%side
		switch {
		case y%8 > 0:
			data[i] = data[i-side]
		case x%8 > 0:
			data[i] = data[i-1]
		default:
			data[i] = r.Float32()
		}
	}
	return data
}

func doubles(v []float32) []float64 {
	d := make([]float64, len(v))
	for i, x := range v {
		d[i] = float64(x)
	}
	return d
}
