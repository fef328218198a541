// Package ultralytics is the training job's trainer for YOLO by Ultralytics. The
// training itself runs in a Python process (models/ultralytics), spoken to in
// lines of JSON: this package lays out the data for it, keeps its checkpoints,
// and ends or revives it with the job.
package ultralytics

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/modelpackage"
	"github.com/litterloop/litterloop/shared/training/job"
)

// Reasons of trainings that no repetition mends.
const (
	Untrainable    errs.Code = "training-impossible"
	WeightsMissing errs.Code = "weights-missing"
)

// licence of models that Ultralytics trains.
const licence = "AGPL-3.0"

// Options of a Trainer.
type Options struct {
	// Python returns the interpreter that has the packages of
	// models/ultralytics/requirements.txt, making it where that is to be done.
	Python func(ctx context.Context) (string, error)
	// Open reads the object of a gs:// URI; errs.NotFound when there is none.
	Open func(ctx context.Context, uri string) (io.ReadCloser, error)
	// Env is added to the process's environment: MLFLOW_TRACKING_URI has the
	// training's curves, parameters and plots logged by Ultralytics' own callback.
	Env []string
	Log *slog.Logger
}

// Trainer implements job.Trainer.
type Trainer struct{ o Options }

// New returns a trainer.
func New(o Options) *Trainer { return &Trainer{o} }

// Complete implements job.Trainer.
func (*Trainer) Complete(recipe json.RawMessage) (json.RawMessage, error) {
	r, err := parse(recipe)
	if err != nil {
		return nil, err
	}
	return json.Marshal(r)
}

// Fits implements job.Trainer: a training goes on from weights of the same
// model. Ultralytics fits the layers that see other classes.
func (*Trainer) Fits(start job.Start, _ []string, recipe json.RawMessage) error {
	r, err := parse(recipe)
	if err != nil {
		return err
	}
	if was, ok := start.Card.Recipe["model"].(string); !ok || was != r.Model || start.Card.Recipe["name"] != "ultralytics" {
		return fmt.Errorf("the serving model is not a %s trained by Ultralytics", r.Model)
	}
	return nil
}

// Train implements job.Trainer.
func (t *Trainer) Train(ctx context.Context, data job.Data, recipe json.RawMessage, start *job.Start, hooks job.Hooks) (m job.Model, err error) {
	r, err := parse(recipe)
	if err != nil {
		return m, err
	}
	python, err := t.o.Python(ctx)
	if err != nil {
		return m, err
	}
	dir, err := os.MkdirTemp("", "litterloop-ultralytics-")
	if err != nil {
		return m, fmt.Errorf("a directory to train in: %w", err)
	}
	remove := func() error { return os.RemoveAll(dir) }
	defer func() {
		if err != nil {
			err = errors.Join(err, remove())
		}
	}()
	s, err := t.prepare(ctx, dir, data, r, start, hooks)
	if err != nil {
		return m, err
	}
	p, err := begin(ctx, python, dir, t.o.Env, t.o.Log)
	if err != nil {
		return m, err
	}
	done, err := p.train(ctx, s, hooks)
	if err == nil {
		m, err = model(done)
	}
	if err != nil {
		return m, errors.Join(err, p.close())
	}
	var mu sync.Mutex // the process answers one photo after the other
	m.Predict = func(_ context.Context, photo []byte, q job.Query) ([]modelpackage.Detection, error) {
		mu.Lock()
		defer mu.Unlock()
		return p.detect(dir, photo, q)
	}
	m.Close = func() error { return errors.Join(p.close(), remove()) }
	return m, nil
}

// prepare lays out everything that the process reads.
func (t *Trainer) prepare(ctx context.Context, dir string, data job.Data, r Recipe, start *job.Start, hooks job.Hooks) (settings, error) {
	s := settings{Recipe: r, Work: dir, Weights: r.Weights, Run: hooks.Run}
	var err error
	if s.Data, err = layOut(ctx, filepath.Join(dir, "data"), data); err != nil {
		return s, err
	}
	checkpoint, err := hooks.Load(ctx)
	if err != nil {
		return s, err
	}
	switch {
	case len(checkpoint) > 0:
		s.Checkpoint = filepath.Join(dir, "checkpoint.tar")
		err = os.WriteFile(s.Checkpoint, checkpoint, 0o600)
	case start != nil:
		s.Weights = filepath.Join(dir, "start.pt")
		err = os.WriteFile(s.Weights, start.Checkpoint, 0o600)
	case strings.HasPrefix(r.Weights, "gs://"):
		s.Weights = filepath.Join(dir, "start.pt")
		err = t.download(ctx, r.Weights, s.Weights)
	case r.Weights != "" && r.Weights != Hub:
		if _, missing := os.Stat(r.Weights); missing != nil {
			return s, errs.Permanentf(WeightsMissing, "weights to begin with: %w", missing)
		}
		s.Weights, err = filepath.Abs(r.Weights)
	}
	if err != nil {
		return s, fmt.Errorf("lay out the weights: %w", err)
	}
	return s, nil
}

func (t *Trainer) download(ctx context.Context, uri, path string) (err error) {
	r, err := t.o.Open(ctx, uri)
	if errors.Is(err, errs.NotFound) {
		return errs.Permanentf(WeightsMissing, "weights to begin with: %s: %w", uri, err)
	}
	if err != nil {
		return fmt.Errorf("open %s: %w", uri, err)
	}
	defer r.Close()
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	return errors.Join(err, f.Close())
}

// model reads what the process trained.
func model(d trained) (job.Model, error) {
	onnx, err := os.ReadFile(d.ONNX)
	if err != nil {
		return job.Model{}, fmt.Errorf("read the exported model: %w", err)
	}
	weights, err := os.ReadFile(d.Weights)
	if err != nil {
		return job.Model{}, fmt.Errorf("read the trained weights: %w", err)
	}
	return job.Model{ONNX: onnx, Checkpoint: weights, ImageSize: d.ImageSize, Licence: licence}, nil
}
