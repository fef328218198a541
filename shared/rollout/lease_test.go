package rollout_test

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/rollout"
)

const lease = "rollouts/litter.lease"

// begun returns once a rollout of version has reached its hold.
func begun(t *testing.T, w *world, wg *sync.WaitGroup, version int) (result func() error) {
	t.Helper()
	w.policy.Hold = rollout.Duration(time.Minute)
	var err error
	wg.Go(func() { _, err = (life{w: w}).roller(t).Run(t.Context(), "litter", version) })
	synctest.Wait()
	return func() error { return err }
}

func TestLease_keepsOthersOutAsLongAsItsHolderLives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, none, none)
		w.deliver(t, 1)
		var wg sync.WaitGroup
		result := begun(t, w, &wg, 2)
		for range 5 { // a minute and more: the holder renews
			if _, err := (life{w: w}).roller(t).Run(t.Context(), "litter", 2); !errors.Is(err, errs.Unavailable) {
				t.Errorf("got %v, want unavailable", err)
			}
			time.Sleep(20 * time.Second)
		}
		wg.Wait()
		if err := result(); err != nil {
			t.Errorf("the holder ended with %v", err)
		}
	})
}

func TestLease_ofADeadHolderExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, none)
		l := life{w: w, budget: &atomic.Int64{}}
		l.budget.Store(8)
		if _, err := l.roller(t).Run(t.Context(), "litter", 1); !errors.Is(err, errCrash) {
			t.Fatalf("got %v", err)
		}
		if _, err := (life{w: w}).roller(t).Run(t.Context(), "litter", 1); !errors.Is(err, errs.Unavailable) {
			t.Errorf("at once: %v, want unavailable", err)
		}
		time.Sleep(16 * time.Second)
		if ro, err := (life{w: w}).roller(t).Run(t.Context(), "litter", 1); err != nil || ro.State != rollout.Serving {
			t.Errorf("later: %s, %v", ro.State, err)
		}
	})
}

func TestLease_lostEndsTheRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, none, none)
		w.deliver(t, 1)
		var wg sync.WaitGroup
		result := begun(t, w, &wg, 2)
		other := map[string]any{"holder": "someone else", "expires": time.Now().Add(time.Second)}
		if _, err := blob.WriteJSON(t.Context(), w.bucket, lease, other, blob.Any); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		if err := result(); !errors.Is(err, errs.Unavailable) {
			t.Errorf("got %v, want unavailable", err)
		}
		if got := w.state(t); got.Rollouts[2] != rollout.Running {
			t.Errorf("state %+v", got)
		}
		if ro := w.deliver(t, 2); ro.State != rollout.Serving {
			t.Errorf("ended %s", ro.State)
		}
	})
}

func TestRun_aLostRecordIsNoHarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, none)
		w.deliver(t, 1)
		want := w.state(t)
		if err := w.bucket.Delete(t.Context(), "rollouts/litter/1.json", blob.Any); err != nil {
			t.Fatal(err)
		}
		if ro := w.deliver(t, 1); ro.State != rollout.Serving || ro.Previous != "" {
			t.Errorf("ended %+v", ro)
		}
		if got := w.state(t); got.Staging != want.Staging || len(got.Shares) != 1 || got.Shares[0] != want.Shares[0] {
			t.Errorf("state %+v, was %+v", got, want)
		}
	})
}
