package embedded

import (
	"strings"

	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/training/embedded/network"
)

// Untrained is a model of random weights that has learned nothing and yet
// detects, at scores on both sides of the usual thresholds: a fixture for what
// handles models, made in a moment and the same for the same arguments on every
// machine. imageSize is a multiple of 32. Close it when done.
func Untrained(classes []string, imageSize int, seed uint64) (*Model, error) {
	if err := (Data{Classes: classes, Train: make([]Sample, 1)}).validate(); err != nil {
		return nil, err
	}
	if imageSize < network.MaxStride || imageSize%network.MaxStride != 0 {
		return nil, errs.Permanentf(InvalidRecipe, "image size %d is not a multiple of %d", imageSize, network.MaxStride)
	}
	c := network.Config{Classes: classes, Width: 4}
	w, params := network.Initial(c, seed)
	for _, p := range params {
		last := network.IsClassLayer(p.Name) || network.IsBoxLayer(p.Name)
		for i := p.Offset; i < p.Offset+p.Size; i++ {
			switch {
			case last && strings.HasSuffix(p.Name, ".weight"):
				w.Params[i] *= 60 // so that outputs differ from place to place
			case network.IsClassLayer(p.Name):
				w.Params[i] = -2
			}
		}
	}
	cp := checkpoint{checkpointHeader: checkpointHeader{Classes: classes, Width: c.Width, Layers: layers(params)}, Average: w.Params}
	data, err := cp.marshal()
	if err != nil {
		return nil, err
	}
	m := &Model{Classes: classes, ImageSize: imageSize, ONNX: network.Export(c, w, imageSize), Checkpoint: data}
	m.predictor, err = newPredictor(c, w, 1)
	return m, err
}
