package job

import (
	"bytes"
	"context"
	"fmt"
	"path"

	"github.com/litterloop/litterloop/shared/dataset"
	"github.com/litterloop/litterloop/shared/modelpackage"
	"github.com/litterloop/litterloop/shared/predictionlog"
	"github.com/litterloop/litterloop/shared/training"
)

// golden are the options of the golden detections: the detector's defaults.
var golden = Query{Conf: 0.25, IoU: 0.7, MaxDet: 300}

// goldenPhotos is how many photos prove that the model is served as trained;
// goldenLooks bounds the search for photos on which something is found.
const (
	goldenPhotos = 8
	goldenLooks  = 48
)

// pack gathers the package of a trained model.
func (w *worker) pack(ctx context.Context, v dataset.Version, data Data, held []dataset.Photo, m Model) (modelpackage.Content, error) {
	w.progress.report(ctx, training.Packing, 0, len(held), nil)
	content := modelpackage.Content{
		Card: modelpackage.Card{
			Name: w.Model, Run: w.t.Run, Created: w.Now().UTC(), Dataset: v.ID, Classes: v.Classes,
			ImageSize: m.ImageSize, Recipe: w.parameters(), Code: w.Code, Licence: m.Licence, StartedFrom: m.StartedFrom,
		},
		Model:      m.ONNX,
		Checkpoint: m.Checkpoint,
	}
	samples := data.Val
	if len(samples) == 0 {
		samples = data.Train
	}
	var err error
	if content.Golden, content.Photos, err = w.goldenSet(ctx, samples, m); err != nil {
		return content, err
	}
	answers, err := w.ask(ctx, m.ONNX, held, training.Packing)
	if err != nil {
		return content, err
	}
	w.answers = answers
	content.Card.Metrics = w.Score(v.Classes, truths(held, answers, nil))
	var reference bytes.Buffer
	if err := predictionlog.WriteFile(&reference, w.reference(v, held, answers)); err != nil {
		return content, fmt.Errorf("write the reference: %w", err)
	}
	content.Reference = reference.Bytes()
	return content, nil
}

// goldenSet picks photos spread over the samples, those with detections first,
// and has the trainer's own forward pass look at them.
func (w *worker) goldenSet(ctx context.Context, samples []Sample, m Model) (modelpackage.Golden, map[string][]byte, error) {
	g := modelpackage.Golden{Conf: golden.Conf, IoU: golden.IoU, MaxDet: golden.MaxDet}
	photos := map[string][]byte{}
	add := func(s Sample, photo []byte, found []modelpackage.Detection) {
		file := fmt.Sprintf("%02d%s", len(g.Photos), path.Ext(s.Name))
		photos[file] = photo
		g.Photos = append(g.Photos, modelpackage.GoldenPhoto{File: file, Detections: found})
	}
	looks := min(len(samples), goldenLooks)
	var spare *Sample
	var sparePhoto []byte
	for i := 0; i < looks && len(g.Photos) < goldenPhotos; i++ {
		s := samples[i*len(samples)/looks]
		photo, err := s.Photo(ctx)
		if err != nil {
			return g, nil, err
		}
		found, err := m.Predict(ctx, photo, golden)
		if err != nil {
			return g, nil, fmt.Errorf("trainer's detections on %s: %w", s.Name, err)
		}
		if len(found) == 0 {
			spare, sparePhoto = &s, photo
			continue
		}
		add(s, photo, found)
	}
	if spare != nil && len(g.Photos) < goldenPhotos { // nothing found is an answer too
		add(*spare, sparePhoto, nil)
	}
	return g, photos, nil
}

// reference are the detector's answers on the validation split as its log would
// hold them, so that drift compares like with like.
func (w *worker) reference(v dataset.Version, held []dataset.Photo, answers map[string]Answer) []predictionlog.Row {
	rows := make([]predictionlog.Row, 0, len(held))
	for _, p := range held {
		a := answers[p.MD5]
		row := predictionlog.Row{
			ID: p.Path, TimeMicros: w.Now().UnixMicro(), Model: w.Model, Dataset: v.ID, Photo: p.Path,
			Width: int32(a.Width), Height: int32(a.Height), Bytes: p.Size,
			Brightness: a.Brightness, Contrast: a.Contrast, Sharpness: a.Sharpness,
		}
		for _, x := range a.Detections {
			if x.Confidence <= golden.Conf {
				break // best first: what is served ends here
			}
			row.Boxes = append(row.Boxes, predictionlog.Box{
				ClassID: int32(x.ClassID), Class: x.Class, Confidence: float32(x.Confidence),
				X1: float32(x.Box[0]), Y1: float32(x.Box[1]), X2: float32(x.Box[2]), Y2: float32(x.Box[3]),
			})
		}
		rows = append(rows, row)
	}
	return rows
}
