package embedded

import (
	"context"
	"errors"
	"runtime"
	"time"

	"github.com/litterloop/litterloop/shared/errs"
)

// budget says when a training is over: after so many steps, or when the time is
// spent.
type budget struct {
	steps int // 0 where time decides
	spent func() time.Duration
	total time.Duration
	each  time.Duration // that a step takes, rather too much
	cores int           // that spend it at once: 1 of processor time
}

func newBudget(r Recipe, h Hooks) (budget, error) {
	clock, seconds, cores := h.Clock, r.Seconds, runtime.GOMAXPROCS(0)
	if r.CPUSeconds > 0 {
		clock, seconds, cores = h.CPU, r.CPUSeconds, 1
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
	return budget{spent: clock, total: time.Duration(seconds * float64(time.Second)), cores: cores}, nil
}

// now is the time spent, 0 where steps decide.
func (b budget) now() time.Duration {
	if b.spent == nil {
		return 0
	}
	return b.spent()
}

// progress is the share of the budget that is gone before a step, 0 to 1.
func (b budget) progress(step int) float64 {
	if b.steps > 0 {
		return min(float64(step-1)/float64(b.steps), 1)
	}
	return min(float64(b.spent())/float64(b.total), 1)
}

// over tells whether nothing is left after so many steps: no more than another
// step would take.
func (b budget) over(done int) bool {
	if b.steps > 0 {
		return done >= b.steps
	}
	return b.spent()+b.each >= b.total
}

// timed does a step and learns what it takes: the longest of late, as another
// program may slow the next one down as well.
func (b *budget) timed(step func() error) error {
	if b.steps > 0 {
		return step()
	}
	began := b.spent()
	err := step()
	b.each = max(b.spent()-began, b.each*9/10)
	return err
}

const (
	// measureMargin is what measuring may take more than the first photo did, with
	// the report on it and a machine that others slow down.
	measureMargin = 1.5
	// drawCost is what drawing a photo takes, over opening it: decoding, a copy of
	// every pixel, and encoding. Measured 3.1.
	drawCost = 4
)

// keepTimeToMeasure takes what the final measurement will need out of a budget
// of time, judged by one photo, and what the caller needs to draw photos, judged
// by how long it took to open the held-out ones.
func (t *training) keepTimeToMeasure(ctx context.Context, opening time.Duration) (err error) {
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
	loaded := t.budget.spent()
	if _, err := detectAll(ctx, p, t.heldOut[:1], t.recipe.MaxOverlap); err != nil {
		return err
	}
	now := t.budget.spent()
	values := 0
	for _, h := range t.heldOut {
		values += len(h.input)
	}
	measure := measureMargin * float64(now-loaded) * float64(values) / float64(len(t.heldOut[0].input))
	draw := drawCost * float64(opening) * float64(t.budget.cores) / float64(len(t.heldOut)) * float64(min(t.hooks.Drawings, len(t.heldOut)))
	t.budget.total = max(t.budget.total-(loaded-began)-time.Duration(measure+draw), now)
	return nil
}
