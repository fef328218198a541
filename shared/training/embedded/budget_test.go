package embedded

import (
	"errors"
	"testing"
	"time"
)

// A step is begun only where there is room for one as long as those before it.
func TestBudget_endsBeforeItIsSpent(t *testing.T) {
	for name, c := range map[string]struct {
		steps []time.Duration // what each would take, the last again and again
		want  time.Duration   // spent in the end, of a minute
	}{
		"even steps":                 {[]time.Duration{7 * time.Second}, 56 * time.Second},
		"a slow one, soon forgotten": {[]time.Duration{time.Second, 20 * time.Second, time.Second}, 59 * time.Second},
		"the first takes it all":     {[]time.Duration{59 * time.Second}, 59 * time.Second},
		"it is gone before a step":   {nil, 0},
		"slower and slower machine":  {[]time.Duration{4 * time.Second, 8 * time.Second, 12 * time.Second, 16 * time.Second, 18 * time.Second}, 58 * time.Second},
	} {
		var now time.Duration
		b := budget{spent: func() time.Duration { return now }, total: time.Minute, cores: 1}
		if c.steps == nil {
			b.total = 0
		}
		done := 0
		for ; !b.over(done); done++ {
			if err := b.timed(func() error { now += c.steps[min(done, len(c.steps)-1)]; return nil }); err != nil {
				t.Fatal(err)
			}
		}
		if now > b.total || now != c.want {
			t.Errorf("%s: %v spent of %v, want %v", name, now, b.total, c.want)
		}
	}
}

func TestBudget_ofStepsReadsNoClock(t *testing.T) {
	b := budget{steps: 2}
	failed := errors.New("no memory")
	if err := b.timed(func() error { return failed }); !errors.Is(err, failed) || b.now() != 0 {
		t.Errorf("%v, %v", err, b.now())
	}
	if b.over(1) || !b.over(2) {
		t.Error("two steps are not two steps")
	}
}

// What is kept for afterwards grows with the photos that will be drawn.
func TestKeepTimeToMeasure_leavesRoomToDraw(t *testing.T) {
	needRuntime(t)
	left := func(drawings int) time.Duration {
		samples := squares(t, 1, 4)
		tr := &training{data: Data{Classes: squareClasses, Train: samples, Val: samples}, recipe: smallRecipe(1), hooks: Hooks{Drawings: drawings}}
		tr.budget = budget{spent: func() time.Duration { return 0 }, total: time.Minute, cores: 1}
		if err := tr.prepare(t.Context()); err != nil {
			t.Fatal(err)
		}
		defer tr.engine.close()
		tr.budget.total = time.Minute
		if err := tr.keepTimeToMeasure(t.Context(), 4*time.Second); err != nil {
			t.Fatal(err)
		}
		return tr.budget.total
	}
	if none, two, all := left(0), left(2), left(100); none != time.Minute || two != none-2*drawCost*time.Second || all != none-4*drawCost*time.Second {
		t.Errorf("of a minute %v, %v and %v are left", none, two, all)
	}
}
