package localcloud

import (
	"math/rand/v2"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/litterloop/litterloop/localcloud/pubsub"
	"github.com/litterloop/litterloop/localcloud/run"
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
	Unavailable float64 // share of storage requests and Cloud Run calls refused as unavailable
	LoseAnswer  float64 // share of their changes that are made, but answered so
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

// run injects into what functions call. Jobs are declared when the local cloud is
// provisioned, by a person who would call again.
func (f Faults) run() *run.Faults {
	if f.Unavailable == 0 && f.LoseAnswer == 0 {
		return nil
	}
	var mu sync.Mutex
	random := rand.New(rand.NewPCG(f.Seed, 1))
	fault := func(method string, share float64, exempt ...string) error {
		name := path.Base(method)
		if slices.ContainsFunc(exempt, func(prefix string) bool { return strings.HasPrefix(name, prefix) }) {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		if random.Float64() < share {
			return status.Errorf(codes.Unavailable, "injected fault in %s", name)
		}
		return nil
	}
	return &run.Faults{
		Call:      func(method string) error { return fault(method, f.Unavailable, "CreateJob") },
		Committed: func(method string) error { return fault(method, f.LoseAnswer, "CreateJob", "Get", "List", "Wait") },
	}
}

// Crashed is the exit status of a process that kill -9 ended, as a shell sees it.
const Crashed = 137
