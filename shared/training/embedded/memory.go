package embedded

import (
	"sync"

	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/training/embedded/session"
)

const (
	// photoShare of the memory may go to decoded photos; the rest is the networks'.
	photoShare = 0.75
	// roomSample photos tell what all will take: a set that cannot fit is refused
	// after seconds, before the system kills the process.
	roomSample = 32
)

// room watches what decoded photos take. Safe for concurrent use.
type room struct {
	bytes  int64 // that this process may use; 0 is unknown, and watches nothing
	photos int   // to come, in all

	mu    sync.Mutex
	seen  int
	taken int64
}

// take counts a decoded photo. Its error is permanent.
func (r *room) take(bytes int) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen++
	r.taken += int64(bytes)
	allowed := int64(photoShare * float64(r.bytes))
	expected := r.taken / int64(r.seen) * int64(r.photos)
	if r.bytes == 0 || r.seen < min(roomSample, r.photos) || expected <= allowed {
		return nil
	}
	return errs.Permanentf(session.OutOfMemory, "%d photos to train on take about %d MB once decoded, and of this machine's %d MB they may take %d; lower the recipe's image_size, or train on a machine with more memory",
		r.photos, expected>>20, r.bytes>>20, allowed>>20)
}
