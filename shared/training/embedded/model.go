package embedded

import (
	"context"
	"fmt"

	"github.com/litterloop/litterloop/shared/imaging"
	"github.com/litterloop/litterloop/shared/modelpackage"
	"github.com/litterloop/litterloop/shared/training/embedded/graph"
	"github.com/litterloop/litterloop/shared/training/embedded/network"
	"github.com/litterloop/litterloop/shared/training/embedded/session"
	"github.com/litterloop/litterloop/shared/training/evaluation"
)

// Model is a trained detector. Close it when done.
type Model struct {
	Classes    []string
	ImageSize  int                  // longest side it was trained for
	ONNX       []byte               // for modelpackage.ModelFile
	Checkpoint []byte               // for modelpackage.CheckpointFile and Data.Start
	Metrics    modelpackage.Metrics // on Data.Val; zero where that is empty
	HeldOut    []evaluation.Photo   // what Metrics come from: the labels of Data.Val and what was found
	Steps      int                  // done
	Licence    string               // of the weights: of what they began with, where they did not begin with nothing
	predictor  *predictor
}

// Predict detects on a photo by the trainer's own forward pass and decoding,
// which share nothing with the decoding inside ONNX: what a detector that
// serves the model must agree with. Boxes are in pixels of the displayed photo,
// best first. A photo that cannot be decoded is a permanent error. It may be
// called from several goroutines.
func (m *Model) Predict(ctx context.Context, photo []byte, conf, iou float64, maxDet int) ([]modelpackage.Detection, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	im, err := imaging.Decode(photo)
	if err != nil {
		return nil, err
	}
	g := m.predictor.design.fit(im)
	input := make([]float32, 3*g.InputW*g.InputH)
	g.Letterbox(input, im)
	return m.predictor.detect(input, g, conf, iou, maxDet)
}

// Close frees what Predict needs.
func (m *Model) Close() error { return m.predictor.close() }

// predictor runs the raw inference graph.
type predictor struct {
	design  design
	session *session.Session
}

func newPredictor(d design, params []*graph.Param, w graph.Weights, threads int) (*predictor, error) {
	raw, err := d.raw(params, w)
	if err != nil {
		return nil, err
	}
	s, err := session.Open(raw, []string{network.InputName}, []string{network.RawName}, threads)
	if err != nil {
		return nil, fmt.Errorf("open the trained network: %w", err)
	}
	return &predictor{design: d, session: s}, nil
}

// detect runs one letterboxed photo.
func (p *predictor) detect(input []float32, g imaging.Geometry, conf, iou float64, maxDet int) ([]modelpackage.Detection, error) {
	images, err := session.NewTensor(input, 1, 3, g.InputH, g.InputW)
	if err != nil {
		return nil, err
	}
	defer images.Release()
	out, err := p.session.Run(images)
	if err != nil {
		return nil, err
	}
	defer session.Release(out)
	classes := p.design.classes()
	grid := p.design.grid(g.InputH, g.InputW)
	found := grid.Decode(out[0].Data, len(classes), conf, iou, maxDet)
	detections := make([]modelpackage.Detection, len(found))
	for i, d := range found {
		x1, y1, x2, y2 := g.Unmap(d.X1, d.Y1, d.X2, d.Y2)
		detections[i] = modelpackage.Detection{
			Box:     [4]float64{float64(x1), float64(y1), float64(x2), float64(y2)},
			ClassID: d.Class, Class: classes[d.Class], Confidence: float64(d.Score),
		}
	}
	return detections, nil
}

func (p *predictor) close() error { return p.session.Close() }
