package embedded

import (
	"context"

	"github.com/litterloop/litterloop/shared/imaging"
	"github.com/litterloop/litterloop/shared/modelpackage"
	"github.com/litterloop/litterloop/shared/training/evaluation"
)

// What counts as a detection when a model is measured: everything but noise, as
// average precision needs the whole curve.
const (
	evalConf   = 0.001
	evalMaxDet = 300
)

// quickPhotos bounds the photos of a measurement during training.
const quickPhotos = 200

// heldOut is a validation photo as the model sees it. A letterboxed value is a
// byte over 255, so bytes hold it exactly in a quarter of the memory.
type heldOut struct {
	name     string
	geometry imaging.Geometry
	input    []byte
	labels   []evaluation.Label
}

func decodeVal(ctx context.Context, samples []Sample, d design) ([]heldOut, error) {
	photos := make([]heldOut, len(samples))
	err := decodeAll(ctx, samples, func(i int, im *imaging.Image) error {
		h := heldOut{name: samples[i].Name, geometry: d.fit(im)}
		input := make([]float32, 3*h.geometry.InputW*h.geometry.InputH)
		h.geometry.Letterbox(input, im)
		h.input = make([]byte, len(input))
		for k, v := range input {
			h.input[k] = byte(v*255 + 0.5)
		}
		for _, b := range samples[i].Boxes {
			h.labels = append(h.labels, evaluation.Label{Class: b.Class, Box: [4]float64{b.X1, b.Y1, b.X2, b.Y2}})
		}
		photos[i] = h
		return nil
	})
	return photos, err
}

// measure computes a model's metrics on held-out photos.
func measure(ctx context.Context, p *predictor, photos []heldOut, maxOverlap float64) (modelpackage.Metrics, error) {
	found, err := detectAll(ctx, p, photos, maxOverlap)
	if err != nil {
		return modelpackage.Metrics{}, err
	}
	return evaluation.Evaluate(p.design.classes(), found), nil
}

// detectAll runs a model over held-out photos.
func detectAll(ctx context.Context, p *predictor, photos []heldOut, maxOverlap float64) ([]evaluation.Photo, error) {
	results := make([]evaluation.Photo, len(photos))
	var input []float32
	for i, h := range photos {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		input = input[:0]
		for _, v := range h.input {
			input = append(input, float32(v)/255)
		}
		found, err := p.detect(input, h.geometry, evalConf, maxOverlap, evalMaxDet)
		if err != nil {
			return nil, err
		}
		results[i].Name, results[i].Labels = h.name, h.labels
		for _, d := range found {
			results[i].Detections = append(results[i].Detections, evaluation.Detection{Class: d.ClassID, Score: d.Confidence, Box: d.Box})
		}
	}
	return results, nil
}
