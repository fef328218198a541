package localcloud

import (
	"os"
	"sync/atomic"
	"time"

	"github.com/litterloop/litterloop/localcloud/pubsub"
	"github.com/litterloop/litterloop/localcloud/storage"
)

// Faults are misbehaviour that the real cloud permits itself, made frequent, the
// same way for the same seed. The zero value injects none.
type Faults struct {
	Seed        uint64
	Duplicate   float64 // share of deliveries repeated after their acknowledgement
	Reorder     float64 // share of messages delivered out of order
	Delay       float64 // share of messages and storage requests held back by up to MaxDelay
	MaxDelay    time.Duration
	Unavailable float64 // share of storage requests refused with 503
	LoseAnswer  float64 // share of storage changes that are made, but answered with 503
	// CrashAfter ends the process, as kill -9 would, at the storage commit and at
	// the publish with this number, made durable and not yet answered. 0: never.
	CrashAfter int
}

func (f Faults) storage() storage.Faults {
	return storage.Faults{Seed: f.Seed, Unavailable: f.Unavailable, LoseAnswer: f.LoseAnswer, Delay: f.Delay, MaxDelay: f.MaxDelay, CrashAfter: f.CrashAfter}
}

func (f Faults) pubsub() pubsub.Faults {
	p := pubsub.Faults{Seed: f.Seed, Duplicate: f.Duplicate, Reorder: f.Reorder, Delay: f.Delay, MaxDelay: f.MaxDelay}
	if f.CrashAfter > 0 {
		var published atomic.Int64
		p.AfterCommit = func() {
			if published.Add(1) == int64(f.CrashAfter) {
				os.Exit(Crashed)
			}
		}
	}
	return p
}

// Crashed is the exit status of a process that kill -9 ended, as a shell sees it.
const Crashed = 137
