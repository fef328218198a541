package embedded

import (
	"context"
	"errors"
	"time"

	"github.com/litterloop/litterloop/shared/errs"
)

// budget says when a training is over: after so many steps, or when the time is
// spent.
type budget struct {
	steps int // 0 where time decides
	spent func() time.Duration
	total time.Duration
}

func newBudget(r Recipe, h Hooks) (budget, error) {
	clock, seconds := h.Clock, r.Seconds
	if r.CPUSeconds > 0 {
		clock, seconds = h.CPU, r.CPUSeconds
	}
	if seconds == 0 {
		return budget{steps: r.Steps}, nil
	}
	if r.Seconds > 0 && r.CPUSeconds > 0 {
		return budget{}, errs.Permanentf(InvalidRecipe, "recipe: seconds and cpu_seconds are both set; choose one budget")
	}
	if clock == nil {
		return budget{}, errs.Permanentf(InvalidRecipe, "recipe: a budget of time is not possible here; set steps")
	}
	return budget{spent: clock, total: time.Duration(seconds * float64(time.Second))}, nil
}

// progress is the share of the budget that is gone before a step, 0 to 1.
func (b budget) progress(step int) float64 {
	if b.steps > 0 {
		return min(float64(step-1)/float64(b.steps), 1)
	}
	return min(float64(b.spent())/float64(b.total), 1)
}

// over tells whether nothing is left after so many steps.
func (b budget) over(done int) bool {
	if b.steps > 0 {
		return done >= b.steps
	}
	return b.spent() >= b.total
}

// keepTimeToMeasure takes what the final measurement will need out of a budget
// of time, judged by one photo.
func (t *training) keepTimeToMeasure(ctx context.Context) (err error) {
	if t.budget.steps > 0 || len(t.heldOut) == 0 {
		return nil
	}
	began := t.budget.spent()
	w, err := t.weights(1)
	if err != nil {
		return err
	}
	p, err := newPredictor(t.design, t.engine.params, w, t.recipe.threads())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	opened := t.budget.spent()
	if _, err := detectAll(ctx, p, t.heldOut[:1], t.recipe.MaxOverlap); err != nil {
		return err
	}
	one := t.budget.spent() - opened
	// A quarter more, as the report and the files come after it.
	t.budget.total = max(t.budget.total-(opened-began)-time.Duration(len(t.heldOut))*one*5/4, t.budget.spent())
	return nil
}
