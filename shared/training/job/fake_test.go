package job_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/modelpackage"
	"github.com/litterloop/litterloop/shared/training/job"
)

// fakeModel is a model that finds one object on every photo, as sure as it is
// good; Skew is how far the detector's answers lie from the trainer's.
type fakeModel struct {
	Quality float64
	Skew    float64
}

func (m fakeModel) find(skew float64) []modelpackage.Detection {
	return []modelpackage.Detection{{Box: [4]float64{10 + skew, 10, 30, 30}, Class: "can", Confidence: m.Quality}}
}

// fakeTrainer makes models as good as quality says, in 60 steps with a
// checkpoint every 20. It counts its trainings from the first step.
type fakeTrainer struct {
	quality map[string]fakeModel // by the data set version that photos name
	refuse  string               // a permanent error
	dies    bool                 // a transient one, always
	misfit  error                // of every start
	begun   int
}

func (f *fakeTrainer) Fits(job.Start, []string, json.RawMessage) error { return f.misfit }

func (f *fakeTrainer) Complete(recipe json.RawMessage) (json.RawMessage, error) { return recipe, nil }

func (f *fakeTrainer) Train(ctx context.Context, data job.Data, _ json.RawMessage, _ *job.Start, h job.Hooks) (job.Model, error) {
	if f.refuse != "" {
		return job.Model{}, errs.Permanentf("recipe-invalid", "%s", f.refuse)
	}
	if f.dies {
		return job.Model{}, errors.New("out of memory")
	}
	step := 0
	saved, err := h.Load(ctx)
	if err != nil {
		return job.Model{}, err
	}
	if len(saved) > 0 {
		if err := json.Unmarshal(saved, &step); err != nil {
			return job.Model{}, err
		}
	} else {
		f.begun++
	}
	for step < 60 {
		step++
		h.Step(step, 60, map[string]float64{"train/box_loss": 1 / float64(step)})
		if step%20 == 0 {
			if err := h.Save(ctx, fmt.Append(nil, step)); err != nil {
				return job.Model{}, err
			}
		}
		if step == 30 {
			if err := h.Measured(ctx, step, modelpackage.Metrics{MAP50: 0.3}); err != nil {
				return job.Model{}, err
			}
		}
	}
	photo, err := data.Train[0].Photo(ctx)
	if err != nil {
		return job.Model{}, err
	}
	m := fakeModel{Quality: 0.5}
	var i int
	var id string
	if _, err := fmt.Sscanf(string(photo), "photo %d of %s", &i, &id); err != nil {
		return job.Model{}, err
	}
	if q, ok := f.quality[id]; ok {
		m = q
	}
	onnx, err := json.Marshal(m)
	return job.Model{
		ONNX: onnx, Checkpoint: []byte("weights of " + id), ImageSize: 256, Licence: "Apache-2.0",
		Predict: func(context.Context, []byte, job.Query) ([]modelpackage.Detection, error) { return m.find(0), nil },
		Close:   func() error { return nil },
	}, err
}

type fakeDetector struct{ fakeModel }

func openFake(onnx []byte) (job.Detector, error) {
	var d fakeDetector
	return d, json.Unmarshal(onnx, &d.fakeModel)
}

func (d fakeDetector) Detect(context.Context, []byte, job.Query) (job.Answer, error) {
	return job.Answer{Width: 40, Height: 40, Detections: d.find(d.Skew)}, nil
}

func (d fakeDetector) Close() error { return nil }

// scoreFake is the mean confidence.
func scoreFake(_ []string, photos []job.Truth) modelpackage.Metrics {
	m := modelpackage.Metrics{Photos: len(photos)}
	for _, p := range photos {
		for _, d := range p.Found {
			m.MAP50_95 += d.Confidence / float64(len(photos))
		}
	}
	m.MAP50 = m.MAP50_95
	return m
}

// reportFake tells how many photos it was shown, and the first one's bytes.
func reportFake(ctx context.Context, _ []string, _ []int, photos []job.Truth, open func(context.Context, int) ([]byte, error)) (map[string][]byte, error) {
	first, err := open(ctx, 0)
	return map[string][]byte{"report.json": fmt.Appendf(nil, "%d photos, %s is %s", len(photos), photos[0].Name, first)}, err
}
