package job

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"go.opentelemetry.io/otel/attribute"

	"github.com/litterloop/litterloop/shared/dataset"
	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/modelpackage"
	"github.com/litterloop/litterloop/shared/registry"
	"github.com/litterloop/litterloop/shared/tracking"
	"github.com/litterloop/litterloop/shared/training"
)

// Parameters of a run beside the recipe's own.
const (
	paramDataset     = "dataset"
	paramTrigger     = "trigger"
	paramStartedFrom = "started_from" // run of the model that training began with, or scratch
	scratch          = "scratch"
)

// Reasons why a data set version cannot be trained on. Both are permanent.
const (
	DataInvalid  errs.Code = "training-data-invalid"
	PhotoMissing errs.Code = "photo-missing"
)

// train makes the run's model package, unless it is complete already.
func (w *worker) train(ctx context.Context) error {
	at := training.Package(w.Model, w.t.Run)
	if _, err := modelpackage.Load(ctx, w.Models, at); !errors.Is(err, errs.NotFound) {
		return err
	}
	run, err := w.startRun(ctx)
	if err != nil {
		return err
	}
	var (
		v      dataset.Version
		data   Data
		photos []dataset.Photo
		start  *Start
	)
	err = span(ctx, "load the data set", func(ctx context.Context) (err error) {
		if v, data, photos, err = w.load(ctx); err != nil {
			return err
		}
		start, err = w.start(ctx, run, v.Classes)
		return err
	})
	if err != nil {
		return err
	}
	var model Model
	err = span(ctx, "fit", func(ctx context.Context) (err error) {
		w.epoch.ctx = ctx
		defer w.epoch.end()
		model, err = w.Trainer.Train(ctx, data, w.recipe, start, w.hooks())
		return err
	}, attribute.Int("photos.train", len(data.Train)), attribute.Int("photos.val", len(data.Val)))
	if err != nil {
		return fmt.Errorf("train run %s: %w", w.t.Run, err)
	}
	defer model.Close()
	if err := w.flush(ctx); err != nil {
		return err
	}
	var card modelpackage.Card
	err = span(ctx, "package", func(ctx context.Context) error {
		content, err := w.pack(ctx, v, data, photos, model)
		if err != nil {
			return fmt.Errorf("pack the model of run %s: %w", w.t.Run, err)
		}
		if start != nil {
			content.Card.StartedFrom = start.Card.Run
		}
		if err := w.explain(ctx, v, data, photos); err != nil {
			return fmt.Errorf("report on run %s: %w", w.t.Run, err)
		}
		card, err = modelpackage.Write(ctx, w.Models, at, content)
		return err
	}, attribute.Int("model.bytes", len(model.ONNX)))
	if err != nil {
		return err
	}
	return w.Runs.LogMetrics(ctx, w.t.Run, "package", w.points(w.curve.last, figures("metrics", card.Metrics)))
}

// load returns the version to train on: its summary, its samples and its photos
// of the validation split.
func (w *worker) load(ctx context.Context) (dataset.Version, Data, []dataset.Photo, error) {
	v, err := dataset.Load(ctx, w.Datasets, w.t.Dataset)
	if errors.Is(err, errs.NotFound) {
		err = errs.Permanent("dataset-missing", err)
	}
	if err != nil {
		return v, Data{}, nil, err
	}
	photos, err := dataset.Photos(ctx, w.Datasets, v.ID)
	if err != nil {
		return v, Data{}, nil, err
	}
	data := Data{Classes: v.Classes}
	var held []dataset.Photo
	for _, p := range photos {
		s := Sample{Name: p.Path, Boxes: p.Boxes, Photo: func(ctx context.Context) ([]byte, error) {
			return w.photo(ctx, p)
		}}
		if p.Split == dataset.Val {
			data.Val = append(data.Val, s)
			held = append(held, p)
		} else {
			data.Train = append(data.Train, s)
		}
	}
	return v, data, held, usable(v.ID, data)
}

// usable finds what can neither be learned from nor measured on, whatever the
// recipe: a gate without figures would let every model through.
func usable(version string, d Data) error {
	count := func(samples []Sample) (boxes int) {
		for _, s := range samples {
			boxes += len(s.Boxes)
		}
		return boxes
	}
	refuse := func(format string, args ...any) error {
		return errs.Permanentf(DataInvalid, "data set version %s: %w", version, fmt.Errorf(format, args...))
	}
	switch {
	case len(d.Train) == 0 || len(d.Val) == 0:
		return refuse("%d photos to train on and %d held out; a training needs some of both", len(d.Train), len(d.Val))
	case count(d.Train) == 0:
		return refuse("no object is labelled on any of the %d photos to train on", len(d.Train))
	case count(d.Val) == 0:
		return refuse("no object is labelled on any of the %d held-out photos, so that no model can be measured", len(d.Val))
	}
	return nil
}

// photo opens a photo of a version. One that is gone is gone for good.
func (w *worker) photo(ctx context.Context, p dataset.Photo) ([]byte, error) {
	data, err := dataset.OpenPhoto(ctx, w.Datasets, p)
	if errors.Is(err, errs.NotFound) {
		err = errs.Permanentf(PhotoMissing, "it was there when the version was made and is gone; put it back, or drop a batch without it: %w", err)
	}
	return data, err
}

// startRun opens the tracked run with its parameters, or opens it again.
func (w *worker) startRun(ctx context.Context) (tracking.Run, error) {
	e, err := w.Runs.EnsureExperiment(ctx, w.Model)
	if err != nil {
		return tracking.Run{}, err
	}
	run, err := w.Runs.CreateRun(ctx, e.ID, w.t.Run, training.RunName(w.Model, w.t.Run), map[string]string{
		tracking.TagSource:  "litterloop trainer",
		tracking.TagUser:    "litterloop",
		training.TagDataset: w.t.Dataset,
		"code":              w.Code,
	})
	if err != nil {
		return run, err
	}
	if err := w.Runs.SetStatus(ctx, w.t.Run, tracking.Running); err != nil {
		return run, err
	}
	if w.recipe, err = w.Trainer.Complete(w.t.Recipe); err != nil {
		return run, err
	}
	params := map[string]string{paramDataset: w.t.Dataset, paramTrigger: w.t.Trigger}
	for k, value := range w.parameters() {
		params["recipe."+k] = printed(value)
	}
	return run, w.Runs.LogParams(ctx, w.t.Run, params)
}

// parameters returns the recipe's parameters by name; none when a trainer's
// recipe is no object.
func (w *worker) parameters() map[string]any {
	var p map[string]any
	_ = json.Unmarshal(w.recipe, &p)
	return p
}

func printed(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	p, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(p)
}

// start returns the model to go on from, nil for none. The choice is made once
// and kept with the run, because the serving model may change before a killed
// job runs again.
func (w *worker) start(ctx context.Context, run tracking.Run, classes []string) (*Start, error) {
	from, chosen := run.Params[paramStartedFrom]
	if !chosen {
		v, err := w.Registry.ByAlias(ctx, w.Model, registry.Staging)
		if err != nil && !errors.Is(err, errs.NotFound) {
			return nil, err
		}
		from = v.Run
	}
	var start *Start
	if from != "" && from != scratch {
		var err error
		if start, err = w.startFrom(ctx, from); err != nil {
			return nil, err
		}
	}
	if start != nil {
		if err := w.Trainer.Fits(*start, classes, w.recipe); err != nil {
			w.Log.WarnContext(ctx, "training begins from scratch: it cannot go on from the serving model", "run", w.t.Run, "serving", from, "reason", err)
			start = nil
		}
	}
	if start == nil {
		from = scratch
	}
	if chosen {
		return start, nil
	}
	return start, w.Runs.LogParams(ctx, w.t.Run, map[string]string{paramStartedFrom: from})
}

// startFrom returns a run's model as a start; nil when its package has no
// checkpoint.
func (w *worker) startFrom(ctx context.Context, run string) (*Start, error) {
	p, err := modelpackage.Load(ctx, w.Models, training.Package(w.Model, run))
	if err != nil {
		return nil, err
	}
	checkpoint, err := p.Read(ctx, modelpackage.CheckpointFile)
	if errors.Is(err, errs.NotFound) {
		return nil, nil
	}
	return &Start{Card: p.Card, Checkpoint: checkpoint}, err
}
