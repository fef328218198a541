package storage

import (
	"context"
	"math/rand/v2"
	"os"
	"sync"
	"time"
)

// Faults makes the server misbehave on purpose, the same way for the same seed
// and order of requests. The zero value makes none.
type Faults struct {
	Seed uint64
	// Unavailable is the share of requests refused with 503 before anything
	// is done, 0 to 1.
	Unavailable float64
	// Delay holds back this share of requests, each by up to MaxDelay.
	Delay    float64
	MaxDelay time.Duration
	// LoseAnswer is the share of changes that are made but answered with 503.
	LoseAnswer float64
	// CrashAfter, unless 0, calls Crash at the commit with this number (from 1),
	// when the change is durable and nobody was told.
	CrashAfter int
	// Crash ends the process; nil is os.Exit(137), as kill -9 would.
	Crash func()
}

type faults struct {
	Faults
	mu      sync.Mutex
	rand    *rand.Rand
	commits int
}

func newFaults(f Faults) *faults {
	if f.Crash == nil {
		f.Crash = func() { os.Exit(137) }
	}
	return &faults{Faults: f, rand: rand.New(rand.NewPCG(f.Seed, 0))}
}

// plan is what befalls one request.
type plan struct {
	delay                   time.Duration
	unavailable, loseAnswer bool
}

func (f *faults) plan() (p plan) {
	if f.Unavailable == 0 && f.Delay == 0 && f.LoseAnswer == 0 {
		return plan{}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	// Three draws a request, whatever is asked for, keep a seed's meaning.
	a, b, c := f.rand.Float64(), f.rand.Float64(), f.rand.Float64()
	if b < f.Delay {
		p.delay = time.Duration(b / f.Delay * float64(f.MaxDelay))
	}
	p.unavailable, p.loseAnswer = a < f.Unavailable, c < f.LoseAnswer
	return p
}

// committed runs in the store after each group of changes is durable.
func (f *faults) committed() {
	if f.CrashAfter == 0 {
		return
	}
	f.mu.Lock()
	f.commits++
	crash := f.commits == f.CrashAfter
	f.mu.Unlock()
	if crash {
		f.Crash()
	}
}

func wait(ctx context.Context, d time.Duration) error {
	if d == 0 {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
