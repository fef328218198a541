package rollout_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/rollout"
)

// counted is what a monitoring service tells of every instance of a revision,
// minutes late.
type counted struct {
	delay    time.Duration
	answer   func(revision string) (rollout.Requests, error)
	question []string // "revision after duration"
}

func (c *counted) Delay() time.Duration { return c.delay }

func (c *counted) Requests(_ context.Context, _, revision string, from time.Time) (rollout.Requests, error) {
	c.question = append(c.question, fmt.Sprintf("%s after %s", revision, time.Since(from).Round(time.Second)))
	return c.answer(revision)
}

func TestTraffic_aHoldLastsUntilItsRequestsAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, none, failing) // its own metrics are not asked
		c := &counted{delay: 3 * time.Minute, answer: func(string) (rollout.Requests, error) {
			return rollout.Requests{Total: 1000, Errors: 1}, nil
		}}
		w.traffic = c
		w.deliver(t, 1)
		c.question = nil
		ro := w.deliver(t, 2)
		if ro.State != rollout.Serving {
			t.Fatalf("ended %s: %s", ro.State, ro.Failure)
		}
		want := "[litter-v2 after 3m5s litter-v2 after 3m5s]"
		if got := fmt.Sprint(c.question); got != want {
			t.Errorf("asked %s, want %s", got, want)
		}
		if last := ro.Checks[len(ro.Checks)-1]; last.Requests != 1000 || last.ErrorRate != 0.001 {
			t.Errorf("recorded %+v", last)
		}
	})
}

func TestTraffic_failuresOfAnyInstanceTurnBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, none, none)
		w.traffic = &counted{delay: time.Minute, answer: func(revision string) (rollout.Requests, error) {
			if revision == "litter-v2" {
				return rollout.Requests{Total: 50, Errors: 2}, nil
			}
			return rollout.Requests{}, nil // nobody asked the first
		}}
		w.deliver(t, 1)
		ro := w.deliver(t, 2)
		if ro.State != rollout.RolledBack || ro.Code != string(rollout.CodeErrorRate) {
			t.Errorf("ended %s %s", ro.State, ro.Code)
		}
		if got := w.state(t); got.Staging != 1 || got.Shares[0] != serving(1, 100, "v1") {
			t.Errorf("state %+v", got)
		}
	})
}

// While nobody can say how the canary fares it gets no more traffic, and is not
// blamed either.
func TestTraffic_unknownHealthShiftsNothing(t *testing.T) {
	for name, failure := range map[string]error{"away": errs.Unavailable, "not allowed": errors.New("403: monitoring.timeSeries.list denied")} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, none, none)
				var fails bool
				w.traffic = &counted{answer: func(string) (rollout.Requests, error) {
					if fails {
						return rollout.Requests{}, failure
					}
					return rollout.Requests{Total: 10}, nil
				}}
				w.deliver(t, 1)
				fails = true
				if _, err := (life{w: w}).roller(t).Run(t.Context(), "litter", 2); !errors.Is(err, failure) {
					t.Fatalf("got %v", err)
				}
				got := w.state(t)
				if got.Rollouts[2] != rollout.Running || got.Shares[1].Percent != 10 || len(got.Alerts) > 0 {
					t.Errorf("state %+v", got)
				}
				fails = false
				if ro := w.deliver(t, 2); ro.State != rollout.Serving {
					t.Errorf("ended %s: %s", ro.State, ro.Failure)
				}
			})
		})
	}
}
