package run

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// reach is the way to an instance's process, and the count of requests on it.
type reach struct {
	wake chan struct{} // holds a value when a request has come

	mu       sync.Mutex
	addr     string        // of the ready process; empty when there is none
	trouble  error         // why there is none, once it has failed several times
	changed  chan struct{} // closed and replaced when addr or trouble change
	inflight int
	idle     chan struct{} // closed while nothing is in flight
	lastUse  time.Time     // end of the last request, or begin of the process
}

func newReach() *reach {
	r := &reach{wake: make(chan struct{}, 1), changed: make(chan struct{}), idle: make(chan struct{})}
	close(r.idle)
	return r
}

// set says where the ready process is, or that there is none and why.
func (r *reach) set(addr string, trouble error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.addr, r.trouble, r.lastUse = addr, trouble, time.Now()
	close(r.changed)
	r.changed = make(chan struct{})
}

// await returns the address of the ready process once there is one. It gives up
// when the instance is gone or in trouble.
func (r *reach) await(ctx context.Context, gone <-chan struct{}) (addr string, err error) {
	for {
		r.mu.Lock()
		addr, trouble, changed := r.addr, r.trouble, r.changed
		r.mu.Unlock()
		if addr != "" || trouble != nil {
			return addr, trouble
		}
		select {
		case <-changed:
		case <-gone:
			return "", errors.New("the revision has ended")
		case <-ctx.Done():
			return "", fmt.Errorf("the revision did not become ready: %w", ctx.Err())
		}
	}
}

// enter and leave count requests in flight.
func (r *reach) enter() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.inflight++; r.inflight == 1 {
		r.idle = make(chan struct{})
	}
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

func (r *reach) leave() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lastUse = time.Now()
	if r.inflight--; r.inflight == 0 {
		close(r.idle)
	}
}

// drained is closed when nothing is in flight.
func (r *reach) drained() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.idle
}

// closeIfIdle takes the process out of service when it has had no request for
// as long as after. A request that comes from then on waits for the next one.
func (r *reach) closeIfIdle(after time.Duration) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.inflight > 0 || time.Since(r.lastUse) < after {
		return false
	}
	select {
	case <-r.wake: // of a request that has ended
	default:
	}
	r.addr = ""
	return true
}
