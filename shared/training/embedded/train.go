package embedded

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/training/embedded/graph"
	"github.com/litterloop/litterloop/shared/training/embedded/network"
)

const (
	// scoreFloor is loss.Gradient's floor at the first step of a training from
	// scratch; it is gone at half of the steps.
	scoreFloor = 0.3
	// statisticsBatches measure the batch normalisations of finished weights,
	// quickStatistics those of a measurement during training.
	statisticsBatches = 20
	quickStatistics   = 5
)

// Train trains a detector. It ends early with ctx's error when ctx ends, after
// saving a checkpoint; called again with the same data and recipe it goes on
// from the newest checkpoint and ends with the same weights as if it had never
// stopped. Faults of recipe, data or checkpoint are permanent errors; an error
// of a hook or of loading a photo is returned as it is.
func Train(ctx context.Context, data Data, recipe Recipe, hooks Hooks) (_ *Model, err error) {
	if err := recipe.Validate(); err != nil {
		return nil, errs.Permanentf(InvalidRecipe, "recipe: %w", err)
	}
	if err := data.validate(); err != nil {
		return nil, err
	}
	t := &training{data: data, recipe: recipe, hooks: hooks, config: network.Config{Classes: data.Classes, Width: recipe.Width}}
	if t.fingerprint, err = fingerprint(data, recipe); err != nil {
		return nil, err
	}
	if len(data.Start) > 0 {
		t.recipe = recipe.continued()
	}
	if err := t.prepare(ctx); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, t.engine.close()) }()
	if err := t.run(ctx); err != nil {
		return nil, err
	}
	return t.finish(ctx)
}

// training is one call of Train.
type training struct {
	data        Data
	recipe      Recipe
	hooks       Hooks
	config      network.Config
	fingerprint string

	engine  *engine
	batches *batches
	heldOut []heldOut
	done    int // steps
}

// prepare decodes the photos and brings the engine to where the training stands.
func (t *training) prepare(ctx context.Context) (err error) {
	photos, err := decodeTrain(ctx, t.data.Train, t.recipe)
	if err != nil {
		return err
	}
	t.batches = newBatches(photos, t.recipe)
	if t.heldOut, err = decodeVal(ctx, t.data.Val, t.recipe.ImageSize); err != nil {
		return err
	}
	if t.engine, err = newEngine(t.config, t.recipe); err != nil {
		return err
	}
	if err := t.restore(ctx); err != nil {
		return errors.Join(err, t.engine.close())
	}
	return nil
}

// restore resumes from the newest checkpoint, or begins from Data.Start.
func (t *training) restore(ctx context.Context) error {
	if t.hooks.LoadCheckpoint != nil {
		saved, err := t.hooks.LoadCheckpoint(ctx)
		if err != nil {
			return fmt.Errorf("load the newest checkpoint: %w", err)
		}
		if len(saved) > 0 {
			return t.resume(saved)
		}
	}
	if len(t.data.Start) == 0 {
		return nil
	}
	start, err := parseCheckpoint(t.data.Start)
	if err != nil {
		return err
	}
	weights := t.engine.vector(stateParams)
	if err := start.startFrom(t.engine.params, t.config.Classes, weights); err != nil {
		return err
	}
	return t.engine.set(&checkpoint{Params: weights, Average: weights})
}

func (t *training) resume(saved []byte) error {
	c, err := parseCheckpoint(saved)
	if err != nil {
		return err
	}
	if c.Training != t.fingerprint || !c.Moments || len(c.Params) != len(t.engine.state[stateParams].Data) {
		return errs.Permanentf(InvalidCheckpoint, "resume: the saved checkpoint is of another training (other data or recipe); remove it to start again")
	}
	t.done = c.Step
	return t.engine.set(c)
}

// run does the remaining steps.
func (t *training) run(ctx context.Context) error {
	total := t.recipe.Steps
	stream, err := t.batches.stream(t.done+1, total)
	if err != nil {
		return err
	}
	defer stream.close()
	for t.done < total {
		if ctx.Err() != nil {
			return t.interrupted(ctx)
		}
		b := stream.next()
		if err := t.step(b); err != nil {
			return err
		}
		stream.recycle(b)
		if err := t.report(ctx); err != nil {
			if ctx.Err() != nil {
				return t.interrupted(ctx)
			}
			return err
		}
	}
	return nil
}

// report saves and measures, after the steps that the recipe says.
func (t *training) report(ctx context.Context) error {
	last := t.done == t.recipe.Steps
	if every := t.recipe.CheckpointEvery; last || every > 0 && t.done%every == 0 {
		if err := t.save(ctx); err != nil {
			return err
		}
	}
	if every := t.recipe.ValidateEvery; every > 0 && t.done%every == 0 && !last {
		return t.validate(ctx)
	}
	return nil
}

func (t *training) step(b *batch) error {
	r := t.recipe
	progress := float64(b.step-1) / float64(r.Steps)
	rate := r.learningRate(b.step)
	// A young average forgets faster, or it would remember the first weights.
	average := math.Min(r.EMADecay, float64(1+b.step)/float64(10+b.step))
	floor := 0.0
	if len(t.data.Start) == 0 {
		floor = scoreFloor * math.Max(0, 1-2*progress)
	}
	hyper := graph.Hyper(b.step, rate, r.WeightDecay, average)
	value, norm, err := t.engine.step(b, hyper[:], floor)
	if err != nil {
		return fmt.Errorf("training step %d: %w", b.step, err)
	}
	if math.IsNaN(norm) || math.IsInf(norm, 0) {
		return errs.Permanentf(InvalidRecipe, "training step %d: the gradient is %v; a lower learning_rate than %g may help", b.step, norm, r.LearningRate)
	}
	t.done = b.step
	if t.hooks.Step != nil {
		t.hooks.Step(Step{
			Step: b.step, Total: r.Steps, Epoch: float64(b.step*r.BatchSize) / float64(len(t.data.Train)),
			BoxLoss: value.Box, ClassLoss: value.Class, Positives: value.Positives, LearningRate: rate, GradientNorm: norm,
		})
	}
	return nil
}

// learningRate rises evenly over the warm-up, and falls along a cosine.
func (r Recipe) learningRate(step int) float64 {
	progress := float64(step-1) / float64(r.Steps)
	warm := 1.0
	if step < r.WarmupSteps {
		warm = float64(step) / float64(r.WarmupSteps)
	}
	return r.LearningRate * warm * (r.FinalLearningRate + (1-r.FinalLearningRate)*(1+math.Cos(math.Pi*progress))/2)
}

// interrupted saves what was done before ctx ended.
func (t *training) interrupted(ctx context.Context) error {
	err := fmt.Errorf("training stopped after step %d of %d: %w", t.done, t.recipe.Steps, context.Cause(ctx))
	return errors.Join(err, t.save(context.WithoutCancel(ctx)))
}

func (t *training) save(ctx context.Context) error {
	if t.hooks.SaveCheckpoint == nil {
		return nil
	}
	c := t.checkpoint()
	c.Moments = true
	c.Params, c.Moment1, c.Moment2 = t.engine.vector(stateParams), t.engine.vector(stateMoment1), t.engine.vector(stateMoment2)
	data, err := c.marshal()
	if err != nil {
		return err
	}
	if err := t.hooks.SaveCheckpoint(ctx, data); err != nil {
		return fmt.Errorf("save the checkpoint of step %d: %w", t.done, err)
	}
	return nil
}

// checkpoint is the model's; save adds what resuming needs.
func (t *training) checkpoint() *checkpoint {
	return &checkpoint{
		checkpointHeader: checkpointHeader{
			Training: t.fingerprint, Step: t.done, Classes: t.config.Classes, Width: t.config.Width, Layers: layers(t.engine.params),
		},
		Average: t.engine.vector(stateAverage),
	}
}

// weights are the averaged parameters and their batch statistics over n batches.
func (t *training) weights(n int) (graph.Weights, error) {
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
	if len(t.heldOut) == 0 || t.hooks.Validation == nil {
		return nil
	}
	w, err := t.weights(quickStatistics)
	if err != nil {
		return err
	}
	p, err := newPredictor(t.config, w, t.recipe.threads())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	metrics, err := measure(ctx, p, t.heldOut[:min(len(t.heldOut), quickPhotos)])
	if err != nil {
		return fmt.Errorf("validate after step %d: %w", t.done, err)
	}
	return t.hooks.Validation(ctx, Validation{Step: t.done, Metrics: metrics})
}

// finish makes the model.
func (t *training) finish(ctx context.Context) (*Model, error) {
	w, err := t.weights(statisticsBatches)
	if err != nil {
		return nil, err
	}
	m := &Model{Classes: t.config.Classes, ImageSize: t.recipe.ImageSize, ONNX: network.Export(t.config, w, t.recipe.ImageSize)}
	if m.Checkpoint, err = t.checkpoint().marshal(); err != nil {
		return nil, err
	}
	if m.predictor, err = newPredictor(t.config, w, t.recipe.threads()); err != nil {
		return nil, err
	}
	if len(t.heldOut) == 0 {
		return m, nil
	}
	if m.Metrics, err = measure(ctx, m.predictor, t.heldOut); err == nil && t.hooks.Validation != nil {
		err = t.hooks.Validation(ctx, Validation{Step: t.done, Final: true, Metrics: m.Metrics})
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("validate the model: %w", err), m.Close())
	}
	return m, nil
}

// fingerprint tells one training from another: what may resume from whose
// checkpoint. Photos count by name and boxes.
func fingerprint(d Data, r Recipe) (string, error) {
	type sample struct {
		Name  string
		Boxes []Box
	}
	var samples []sample
	for _, s := range d.Train {
		samples = append(samples, sample{s.Name, s.Boxes})
	}
	data, err := json.Marshal(struct {
		Recipe  Recipe
		Classes []string
		Train   []sample
		Start   [sha256.Size]byte
	}{r, d.Classes, samples, sha256.Sum256(d.Start)})
	if err != nil {
		return "", fmt.Errorf("fingerprint of the training: %w", err)
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:]), nil
}
