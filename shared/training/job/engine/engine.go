// Package engine puts the embedded trainer and the real detector behind the
// training job's ports. It links C (ONNX Runtime's binding).
package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/litterloop/litterloop/shared/detector"
	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/modelpackage"
	"github.com/litterloop/litterloop/shared/training/embedded"
	"github.com/litterloop/litterloop/shared/training/evaluation"
	"github.com/litterloop/litterloop/shared/training/evaluation/worst"
	"github.com/litterloop/litterloop/shared/training/job"
)

// Trainer is the embedded trainer. The zero value trains its own network from
// nothing.
type Trainer struct {
	// Kind is the recipe; empty is embedded.Scratch.
	Kind embedded.Kind
	// Open returns the ONNX of the detector that embedded.Finetune starts from, by
	// the recipe's "from": the name of a known one, a path, or gs://. An error
	// that fetching it again cannot mend is permanent.
	Open func(ctx context.Context, from string) ([]byte, error)
	// Clock and CPU are for recipes with a budget of time; see embedded.Hooks.
	Clock, CPU func() time.Duration
	// Memory is how many bytes this process may use; 0 is unknown.
	Memory int64
}

// Complete implements job.Trainer.
func (t Trainer) Complete(recipe json.RawMessage) (json.RawMessage, error) {
	r, err := t.parse(recipe)
	if err == nil {
		err = r.Validate()
	}
	if err == nil && r.Name == embedded.Finetune && r.From == "" {
		err = errors.New("from is missing: finetune needs a detector to start from, such as yolox-nano")
	}
	if err != nil {
		return nil, errs.Permanentf(embedded.InvalidRecipe, "recipe: %w", err)
	}
	return json.Marshal(r)
}

// parse reads a recipe. What it leaves out is as in the kind's default; what no
// recipe has is an error.
func (t Trainer) parse(recipe json.RawMessage) (embedded.Recipe, error) {
	r := embedded.DefaultRecipe()
	if t.Kind == embedded.Finetune {
		r = embedded.DefaultFinetune()
	}
	kind := r.Name
	d := json.NewDecoder(bytes.NewReader(recipe))
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil {
		return r, fmt.Errorf("decode the recipe: %w", err)
	}
	r.Name = kind
	return r, nil
}

// Fits implements job.Trainer: the embedded trainer can start from any network
// of its own with the same layers, or that began with the same pretrained
// detector; it matches classes by their names.
func (t Trainer) Fits(start job.Start, classes []string, recipe json.RawMessage) error {
	r, err := t.parse(recipe)
	if err != nil {
		return err
	}
	d := embedded.Data{Start: start.Checkpoint, Classes: classes}
	// The port has no context: what is opened here is small, and opened again by Train.
	if d.Pretrained, err = t.open(context.Background(), r); err != nil {
		return err
	}
	return embedded.Fits(d, r)
}

func (t Trainer) open(ctx context.Context, r embedded.Recipe) ([]byte, error) {
	if r.Name != embedded.Finetune {
		return nil, nil
	}
	if t.Open == nil {
		return nil, errs.Permanentf(embedded.InvalidRecipe, "recipe: finetune is not possible here: nothing opens its starting model")
	}
	return t.Open(ctx, r.From)
}

// Train implements job.Trainer.
func (t Trainer) Train(ctx context.Context, data job.Data, recipe json.RawMessage, start *job.Start, hooks job.Hooks) (job.Model, error) {
	r, err := t.parse(recipe)
	if err != nil {
		return job.Model{}, err
	}
	d := embedded.Data{Classes: data.Classes, Train: samples(data.Train), Val: samples(data.Val)}
	if d.Pretrained, err = t.open(ctx, r); err != nil {
		return job.Model{}, fmt.Errorf("open the starting model: %w", err)
	}
	if start != nil {
		d.Start = start.Checkpoint
	}
	h := translate(hooks)
	h.Clock, h.CPU, h.Memory = t.Clock, t.CPU, t.Memory
	m, err := embedded.Train(ctx, d, r, h)
	if err != nil {
		return job.Model{}, err
	}
	return job.Model{
		ONNX: m.ONNX, Checkpoint: m.Checkpoint, ImageSize: m.ImageSize, Licence: m.Licence, StartedFrom: r.From,
		Predict: func(ctx context.Context, photo []byte, q job.Query) ([]modelpackage.Detection, error) {
			return m.Predict(ctx, photo, q.Conf, q.IoU, q.MaxDet)
		},
		Close: m.Close,
	}, nil
}

func samples(in []job.Sample) []embedded.Sample {
	out := make([]embedded.Sample, len(in))
	for i, s := range in {
		out[i] = embedded.Sample{Name: s.Name, Load: s.Photo, Boxes: make([]embedded.Box, len(s.Boxes))}
		for k, b := range s.Boxes {
			out[i].Boxes[k] = embedded.Box{Class: b.Class, X1: b.X, Y1: b.Y, X2: b.X + b.W, Y2: b.Y + b.H}
		}
	}
	return out
}

func translate(h job.Hooks) embedded.Hooks {
	return embedded.Hooks{
		Step: func(s embedded.Step) {
			h.Step(s.Step, s.Total, map[string]float64{
				"train/box_loss": s.BoxLoss, "train/cls_loss": s.ClassLoss, "train/epoch": s.Epoch, "lr": s.LearningRate,
			})
		},
		Validation: func(ctx context.Context, v embedded.Validation) error {
			return h.Measured(ctx, v.Step, v.Metrics)
		},
		SaveCheckpoint: h.Save,
		LoadCheckpoint: h.Load,
	}
}

// served is the detector that serves, as the job asks it.
type served struct{ *detector.Detector }

// Open opens a model in the detector that serves.
func Open(model []byte) (job.Detector, error) {
	d, err := detector.Open(model, detector.Options{})
	if err != nil {
		return nil, err
	}
	return served{d}, nil
}

// Detect implements job.Detector.
func (s served) Detect(ctx context.Context, photo []byte, q job.Query) (job.Answer, error) {
	r, err := s.Detector.Detect(ctx, photo, detector.Query{Conf: q.Conf, IoU: q.IoU, MaxDet: q.MaxDet})
	return job.Answer{
		Width: r.Width, Height: r.Height,
		Brightness: r.Stats.Brightness, Contrast: r.Stats.Contrast, Sharpness: r.Stats.Sharpness,
		Detections: r.Detections,
	}, err
}

// Score computes the metrics of photos as pycocotools does.
func Score(classes []string, photos []job.Truth) modelpackage.Metrics {
	return evaluation.Evaluate(classes, measured(photos))
}

// Difference is where b's mAP50-95 less a's lies for other photos of the same
// kind; see evaluation.Difference. a and b are two detectors' answers on the same
// photos.
func Difference(classes []string, a, b []job.Truth) evaluation.Interval {
	return evaluation.Difference(len(classes), measured(a), measured(b))
}

// Report implements job.Deps' Report: figures with their intervals and doubts,
// precision and recall, the confusion of classes, and the worst photos.
func Report(ctx context.Context, classes []string, trained []int, photos []job.Truth, open func(ctx context.Context, i int) ([]byte, error)) (map[string][]byte, error) {
	all := measured(photos)
	return worst.Files(ctx, evaluation.NewReport(classes, trained, all), all, open)
}

func measured(photos []job.Truth) []evaluation.Photo {
	all := make([]evaluation.Photo, len(photos))
	for i, p := range photos {
		all[i].Name = p.Name
		for _, b := range p.Boxes {
			all[i].Labels = append(all[i].Labels, evaluation.Label{Class: b.Class, Box: [4]float64{b.X, b.Y, b.X + b.W, b.Y + b.H}})
		}
		for _, d := range p.Found {
			all[i].Detections = append(all[i].Detections, evaluation.Detection{Class: d.ClassID, Score: d.Confidence, Box: d.Box})
		}
	}
	return all
}
