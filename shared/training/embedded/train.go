package embedded

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/training/embedded/graph"
)

// scoreFloor is loss.Assign's floor at the first step of a training from scratch;
// it is gone at half of the steps.
const scoreFloor = 0.3

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
	t := &training{data: data, recipe: recipe, hooks: hooks}
	if t.fingerprint, err = fingerprint(data, recipe); err != nil {
		return nil, err
	}
	if len(data.Start) > 0 {
		t.recipe = recipe.continued()
	}
	if t.budget, err = newBudget(t.recipe, hooks); err != nil {
		return nil, err
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
	design      design
	fingerprint string

	engine  *engine
	batches *batches
	heldOut []heldOut
	done    int     // steps
	best    float64 // mAP50-95 of the measurements so far
	stale   int     // measurements since then
	budget  budget
}

// prepare decodes the photos and brings the engine to where the training stands.
func (t *training) prepare(ctx context.Context) (err error) {
	if t.design, t.recipe, err = newDesign(t.data, t.recipe); err != nil {
		return err
	}
	photos, err := decodeTrain(ctx, t.data.Train, t.recipe, t.hooks.Memory)
	if err != nil {
		return err
	}
	t.batches = newBatches(photos, t.recipe)
	began := t.budget.now()
	if t.heldOut, err = decodeVal(ctx, t.data.Val, t.design); err != nil {
		return err
	}
	opening := t.budget.now() - began
	if t.engine, err = newEngine(t.design, t.recipe); err != nil {
		return err
	}
	t.engine.cache = newCache(t.recipe, t.design.still().values(), len(photos))
	t.batches.cache = t.engine.cache
	err = t.restore(ctx)
	if err == nil {
		err = t.keepTimeToMeasure(ctx, opening)
	}
	if err != nil {
		return errors.Join(err, t.engine.close())
	}
	return nil
}

// run does the remaining steps.
func (t *training) run(ctx context.Context) error {
	stream, err := t.batches.stream(t.done+1, t.budget.progress)
	if err != nil {
		return err
	}
	defer stream.close()
	if t.done == 0 && t.over() {
		return errs.Permanentf(InvalidRecipe, "recipe: the time was spent before the first step, on opening photos and keeping what measuring takes; raise the budget of %g seconds", t.recipe.Seconds+t.recipe.CPUSeconds)
	}
	for !t.over() {
		if ctx.Err() != nil {
			return t.interrupted(ctx)
		}
		b := stream.next()
		if err := t.budget.timed(func() error { return t.step(b) }); err != nil {
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
	last := t.over()
	if every := t.recipe.ValidateEvery; every > 0 && t.done%every == 0 && !last {
		if err := t.validate(ctx); err != nil {
			return err
		}
	}
	// After the measurement, which may have ended the training.
	if every := t.recipe.CheckpointEvery; t.over() || every > 0 && t.done%every == 0 {
		return t.save(ctx)
	}
	return nil
}

// over tells whether the budget is spent, or nothing has come of the last
// measurements.
func (t *training) over() bool {
	return t.budget.over(t.done) || t.recipe.Patience > 0 && t.stale >= t.recipe.Patience
}

func (t *training) step(b *batch) error {
	r := t.recipe
	progress := t.budget.progress(b.step)
	rate := r.learningRate(b.step, progress)
	// A young average forgets faster, or it would remember the first weights.
	average := math.Min(r.EMADecay, float64(1+b.step)/float64(10+b.step))
	floor := 0.0
	if len(t.data.Start) == 0 && r.Name == Scratch {
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
			Step: b.step, Total: t.budget.steps, Progress: progress, Epoch: float64(b.step*r.BatchSize) / float64(len(t.data.Train)),
			BoxLoss: value.Box, ClassLoss: value.Class, Positives: value.Positives, LearningRate: rate, GradientNorm: norm,
		})
	}
	return nil
}

// shortWarmup is the most of a training that warming up may take.
const shortWarmup = 0.1

// learningRate rises evenly over the warm-up, and falls along a cosine.
func (r Recipe) learningRate(step int, progress float64) float64 {
	warm := 1.0
	if step < r.WarmupSteps {
		warm = min(max(float64(step)/float64(r.WarmupSteps), progress/shortWarmup), 1)
	}
	return r.LearningRate * warm * (r.FinalLearningRate + (1-r.FinalLearningRate)*(1+math.Cos(math.Pi*progress))/2)
}
