package embedded

import (
	"context"
	"errors"
	"fmt"

	"github.com/litterloop/litterloop/shared/training/embedded/graph"
	"github.com/litterloop/litterloop/shared/training/evaluation"
)

const (
	// statisticsBatches measure the batch normalisations of finished weights,
	// quickStatistics those of a measurement during training.
	statisticsBatches = 20
	quickStatistics   = 5
)

// weights are the averaged parameters and their batch statistics over n batches.
func (t *training) weights(n int) (graph.Weights, error) {
	if t.engine.kept < 2 { // no statistics among forward's outputs
		return graph.Weights{Params: t.engine.vector(stateAverage)}, nil
	}
	b, err := t.batches.empty()
	if err != nil {
		return graph.Weights{}, err
	}
	defer b.release()
	var mean []float32
	// A copy, as the order of the photos belongs to the stream of training batches.
	m := newBatches(t.batches.photos, t.recipe)
	for i := range n {
		m.fill(b, i+1, streamStatistics, 0)
		stats, err := t.engine.statistics(b)
		if err != nil {
			return graph.Weights{}, fmt.Errorf("measure batch statistics: %w", err)
		}
		for _, part := range stats {
			if mean == nil {
				mean = make([]float32, len(part))
			}
			for j, v := range part {
				mean[j] += v / float32(n*len(stats))
			}
		}
	}
	return graph.Weights{Params: t.engine.vector(stateAverage), Stats: mean}, nil
}

// validate measures the averaged weights during training.
func (t *training) validate(ctx context.Context) (err error) {
	if len(t.heldOut) == 0 || t.hooks.Validation == nil && t.recipe.Patience == 0 {
		return nil
	}
	w, err := t.weights(quickStatistics)
	if err != nil {
		return err
	}
	p, err := newPredictor(t.design, t.engine.params, w, t.recipe.threads())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	metrics, err := measure(ctx, p, t.heldOut[:min(len(t.heldOut), quickPhotos)], t.recipe.MaxOverlap)
	if err != nil {
		return fmt.Errorf("validate after step %d: %w", t.done, err)
	}
	t.stale++
	if metrics.MAP50_95 > t.best {
		t.best, t.stale = metrics.MAP50_95, 0
	}
	if t.hooks.Validation == nil {
		return nil
	}
	return t.hooks.Validation(ctx, Validation{Step: t.done, Metrics: metrics})
}

// finish makes the model.
func (t *training) finish(ctx context.Context) (*Model, error) {
	w, err := t.weights(statisticsBatches)
	if err != nil {
		return nil, err
	}
	m := &Model{Classes: t.data.Classes, ImageSize: t.recipe.served(), Steps: t.done, Licence: t.design.licence()}
	if m.ONNX, err = t.design.export(t.engine.params, w); err != nil {
		return nil, err
	}
	if m.Checkpoint, err = t.checkpoint().marshal(); err != nil {
		return nil, err
	}
	if m.predictor, err = newPredictor(t.design, t.engine.params, w, t.recipe.threads()); err != nil {
		return nil, err
	}
	if len(t.heldOut) == 0 {
		return m, nil
	}
	if m.HeldOut, err = detectAll(ctx, m.predictor, t.heldOut, t.recipe.MaxOverlap); err == nil {
		m.Metrics = evaluation.Evaluate(m.Classes, m.HeldOut)
	}
	if err == nil && t.hooks.Validation != nil {
		err = t.hooks.Validation(ctx, Validation{Step: t.done, Final: true, Metrics: m.Metrics})
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("validate the model: %w", err), m.Close())
	}
	return m, nil
}
