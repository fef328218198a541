package rollout

import (
	"context"
	"time"
)

// Revision is one immutable configuration of a service: the container with Env
// on top, reachable under its Tag before it has any traffic.
type Revision struct {
	Name string // starts with the service's name and a dash
	Tag  string
	Env  map[string]string
}

// Share is what one revision of a service gets: a percentage of the traffic
// and, where Tag is not empty, a URL of its own.
type Share struct {
	Revision string
	Percent  int
	Tag      string
}

// Status is one revision as the platform has it.
type Status struct {
	Share
	URL   string // of the tag; empty without one
	Ready bool
}

// Service is a service as the platform has it.
type Service struct {
	URL       string
	Revisions []Status // in order of creation
}

// Status returns the status of a revision; ok is false when there is none.
func (s Service) Status(revision string) (st Status, ok bool) {
	for _, r := range s.Revisions {
		if r.Revision == revision {
			return r, true
		}
	}
	return Status{}, false
}

// Platform is what a rollout needs of whatever serves revisions. Every method
// may be repeated: what is so already is no error. Errors wrap errs.NotFound,
// errs.Unavailable (repeating helps) or errs.Conflict (someone else changed the
// service meanwhile: read again, decide again) where they apply. The adapters
// pass platformtest.
type Platform interface {
	// Describe returns a service; errs.NotFound when there is none.
	Describe(ctx context.Context, service string) (Service, error)
	// EnsureRevision declares r with its tag and returns once it is ready. The
	// traffic of the other revisions stays as it is; the first revision of a new
	// service gets all of it. A revision that cannot start is a permanent
	// error with CodeNotReady.
	EnsureRevision(ctx context.Context, service string, r Revision) error
	// SetTraffic replaces the shares and tags of all revisions, and returns once
	// they are in effect. The percentages make 100; revisions that are not named
	// keep neither traffic nor tag. Requests in flight finish where they are.
	SetTraffic(ctx context.Context, service string, shares []Share) error
	// DeleteRevision removes a revision, and the service along with its only
	// one. A revision that the platform does not let go (it serves, or it is the
	// newest) is errs.Conflict.
	DeleteRevision(ctx context.Context, service, revision string) error
}

// Traffic counts how a revision answered, whichever of its instances did, and
// what never reached one.
type Traffic interface {
	// Requests are those since from that are counted by now. An error says that
	// nothing is known.
	Requests(ctx context.Context, service, revision string, from time.Time) (Requests, error)
	// Delay is how long after its answer a request is counted for sure.
	Delay() time.Duration
}
