package rollout_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/rollout"
)

func serving(version, percent int, tag string) rollout.Status {
	st := rollout.Status{Share: rollout.Share{Revision: fmt.Sprintf("litter-v%d", version), Percent: percent, Tag: tag}, Ready: true}
	if tag != "" {
		st.URL = "http://" + tag + "---litter.test"
	}
	return st
}

func TestRun(t *testing.T) {
	for name, test := range map[string]struct {
		faults []fault // of versions 1, 2, …, delivered in this order
		want   state
	}{
		"the first version takes all": {
			[]fault{none}, state{Shares: []rollout.Status{serving(1, 100, "v1")}, Staging: 1, Rollouts: map[int]rollout.State{1: rollout.Serving}},
		},
		"the second replaces it": {
			[]fault{none, none}, state{
				Shares:  []rollout.Status{serving(1, 0, ""), serving(2, 100, "v2")},
				Staging: 2, Rollouts: map[int]rollout.State{1: rollout.Serving, 2: rollout.Serving},
			},
		},
		"the oldest goes": {
			[]fault{none, none, none, none}, state{
				Shares:   []rollout.Status{serving(2, 0, ""), serving(3, 0, ""), serving(4, 100, "v4")},
				Staging:  4,
				Rollouts: map[int]rollout.State{1: rollout.Serving, 2: rollout.Serving, 3: rollout.Serving, 4: rollout.Serving},
			},
		},
		"a first version that cannot start leaves nothing": {
			[]fault{crashes}, state{Rollouts: map[int]rollout.State{1: rollout.RolledBack}, Codes: map[int]string{1: "revision-not-ready"}},
		},
		"a first version with other boxes leaves nothing": {
			[]fault{shifted}, state{Rollouts: map[int]rollout.State{1: rollout.RolledBack}, Codes: map[int]string{1: "golden-photo-mismatch"}},
		},
		"a golden photo is missing":    rolledBack(noPhoto, "golden-photo-mismatch"),
		"never ready":                  rolledBack(notReady, "smoke-test-failed"),
		"another model":                rolledBack(otherModel, "smoke-test-failed"),
		"boxes shifted":                rolledBack(shifted, "golden-photo-mismatch"),
		"errors under traffic":         rolledBack(failing, "error-rate"),
		"goes wrong under traffic":     rolledBack(failsLate, "golden-photo-mismatch"),
		"a good version after one bad": afterBad(),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, test.faults...)
				for v := range test.faults {
					w.deliver(t, v+1)
				}
				got := w.state(t)
				if len(got.Alerts) != len(got.Codes) {
					t.Errorf("alerts %v for %v", got.Alerts, got.Codes)
				}
				got.Alerts = nil
				if test.want.Codes == nil {
					test.want.Codes = map[int]string{}
				}
				if diff := cmp.Diff(test.want, got); diff != "" {
					t.Errorf("-want +got:\n%s", diff)
				}
			})
		})
	}
}

type runTest = struct {
	faults []fault
	want   state
}

// rolledBack is a second version that is refused, with the first one still there.
func rolledBack(f fault, code string) runTest {
	return runTest{[]fault{none, f}, state{
		Shares: []rollout.Status{serving(1, 100, "v1"), serving(2, 0, "")}, Staging: 1,
		Rollouts: map[int]rollout.State{1: rollout.Serving, 2: rollout.RolledBack}, Codes: map[int]string{2: code},
	}}
}

func afterBad() runTest {
	return runTest{[]fault{none, shifted, none}, state{
		Shares: []rollout.Status{serving(1, 0, ""), serving(2, 0, ""), serving(3, 100, "v3")}, Staging: 3,
		Rollouts: map[int]rollout.State{1: rollout.Serving, 2: rollout.RolledBack, 3: rollout.Serving},
		Codes:    map[int]string{2: "golden-photo-mismatch"},
	}}
}

// Whichever call to the world is a function's last, before or after it took
// effect, the next function ends in the same state as if none had died.
func TestRun_diesAtAnyPoint(t *testing.T) {
	for _, faults := range [][]fault{{none}, {none, none}, {none, none, none, none}, {shifted}, {none, crashes}, {none, failing}} {
		last := len(faults)
		prepare := func(t *testing.T) *world {
			w := newWorld(t, faults...)
			for v := 1; v < last; v++ {
				w.deliver(t, v)
			}
			return w
		}
		var want state
		synctest.Test(t, func(t *testing.T) {
			w := prepare(t)
			w.deliver(t, last)
			want = w.state(t)
		})
		died := true
		for calls := int64(1); died; calls++ {
			for _, after := range []bool{false, true} {
				synctest.Test(t, func(t *testing.T) {
					w := prepare(t)
					l := life{w: w, budget: &atomic.Int64{}, after: after}
					l.budget.Store(calls)
					_, err := l.roller(t).Run(t.Context(), "litter", last)
					died = err != nil
					w.deliver(t, last)
					if diff := cmp.Diff(want, w.state(t)); diff != "" {
						t.Errorf("%v: died at call %d (took effect: %v); -want +got:\n%s", faults, calls, after, diff)
					}
				})
			}
			if calls > 1000 {
				t.Fatal("a rollout takes more than 1000 calls")
			}
		}
	}
}

// Events in any order, repeated, and functions that die: in the end the newest
// good version serves alone.
func TestRun_anyOrderOfEvents(t *testing.T) {
	for seed := range uint64(60) {
		synctest.Test(t, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 0))
			faults := []fault{none, none, none, none}
			bad := rnd.IntN(5) // one of them at most
			if bad < 4 {
				faults[bad] = []fault{crashes, shifted, failing, failsLate}[rnd.IntN(4)]
			}
			w := newWorld(t, faults...)
			events := []int{1, 2, 3, 4, 1, 2, 3, 4}
			rnd.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
			for _, v := range events {
				if rnd.IntN(2) == 0 {
					l := life{w: w, budget: &atomic.Int64{}, after: rnd.IntN(2) == 0}
					l.budget.Store(1 + rnd.Int64N(40))
					l.roller(t).Run(t.Context(), "litter", v)
				}
				w.deliver(t, v)
			}
			best := 4
			if bad == 3 {
				best = 3
			}
			got := w.state(t)
			if got.Staging != best {
				t.Errorf("seed %d: order %v, version %d bad: staging is %d", seed, events, bad+1, got.Staging)
			}
			for _, st := range got.Shares {
				if st.Revision == fmt.Sprintf("litter-v%d", best) != (st.Percent == 100) || st.Percent%100 != 0 {
					t.Errorf("seed %d: order %v, version %d bad: %+v", seed, events, bad+1, got.Shares)
				}
			}
		})
	}
}

func TestRun_aStuckVersionBarsNoNewerOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, none, stuck, none)
		w.deliver(t, 1)
		if _, err := (life{w: w}).roller(t).Run(t.Context(), "litter", 2); err == nil {
			t.Fatal("version 2 was not stuck")
		}
		if ro := w.deliver(t, 3); ro.State != rollout.Serving {
			t.Errorf("version 3 ended %s: %s", ro.State, ro.Failure)
		}
		w.faults[2] = none // too late
		if ro := w.deliver(t, 2); ro.State != rollout.Superseded {
			t.Errorf("version 2 ended %s", ro.State)
		}
		if got := w.state(t); got.Staging != 3 || got.Shares[1] != serving(3, 100, "v3") {
			t.Errorf("state %+v", got)
		}
	})
}

func TestRun_severalAtOnceTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, none, none, none)
		var wg sync.WaitGroup
		for _, v := range []int{1, 2, 3, 3, 2, 1} {
			wg.Go(func() { w.deliver(t, v) })
		}
		wg.Wait()
		got := w.state(t)
		if got.Staging != 3 || got.Shares[len(got.Shares)-1].Percent == 0 && got.Shares[0].Percent == 0 {
			t.Errorf("state %+v", got)
		}
		for v, s := range got.Rollouts {
			if s == rollout.Running || s == rollout.RolledBack {
				t.Errorf("version %d ended %s", v, s)
			}
		}
	})
}

func TestRun_aLateEventNeverGoesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, none, none)
		w.deliver(t, 2)
		if ro := w.deliver(t, 1); ro.State != rollout.Superseded {
			t.Errorf("the late version ended %s", ro.State)
		}
		if got := w.state(t); got.Staging != 2 || len(got.Shares) != 1 {
			t.Errorf("state %+v", got)
		}
	})
}

func TestRun_unknownVersionIsPermanent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, err := (life{w: newWorld(t, none)}).roller(t).Run(t.Context(), "litter", 7)
		if code, _ := errs.Reason(err); code != rollout.CodeUnknownVersion {
			t.Errorf("got %v", err)
		}
	})
}

func TestRun_aDeadlineBlamesNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, none, none)
		w.deliver(t, 1)
		w.policy.Hold = rollout.Duration(time.Minute)
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		if _, err := (life{w: w}).roller(t).Run(ctx, "litter", 2); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if got := w.state(t); got.Rollouts[2] != rollout.Running || len(got.Alerts) > 0 {
			t.Errorf("state %+v", got)
		}
		if ro := w.deliver(t, 2); ro.State != rollout.Serving {
			t.Errorf("ended %s: %s", ro.State, ro.Failure)
		}
	})
}

// A function dies for good while it rolls out version 3, and then version 2's
// event comes late: whoever handles that finishes 3 first.
func TestRun_finishesWhatOthersLeft(t *testing.T) {
	for calls := int64(1); ; calls++ {
		died := false
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, none, none, none)
			w.deliver(t, 1)
			l := life{w: w, budget: &atomic.Int64{}, after: true}
			l.budget.Store(calls)
			_, err := l.roller(t).Run(t.Context(), "litter", 3)
			died = err != nil
			begun := w.state(t).Rollouts[3] != ""
			w.deliver(t, 2)
			want := map[int]rollout.State{1: rollout.Serving, 2: rollout.Serving}
			if begun {
				want[2], want[3] = rollout.Superseded, rollout.Serving
			}
			if diff := cmp.Diff(want, w.state(t).Rollouts); diff != "" {
				t.Errorf("died at call %d; -want +got:\n%s", calls, diff)
			}
		})
		if !died {
			return
		}
	}
}
