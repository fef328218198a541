package service

import (
	"context"
	"net"
	"net/http"
	"runtime"
	"sync"
	"time"

	"github.com/litterloop/litterloop/shared/errs"
	"golang.org/x/sync/semaphore"
)

const (
	// patience is how long an upload may take before it gives up its desk. A
	// body that lies in the kernel already takes a few milliseconds to read.
	patience = 20 * time.Millisecond
	// slowBytes bound the memory of uploads without a desk.
	slowBytes = 256 << 20
)

// desks bound the bodies whose bytes are in memory: two for each that can be in
// work at once, so that one arrives while another is computed. A desk is taken
// before a body is read, and kept until its answer; the bodies of all others
// wait in the kernel, and with their clients. An upload that is slow gives up its
// desk, goes on under a bound of its own, and takes one again when it is whole,
// so nobody waits for it.
type desks struct {
	free     chan struct{} // holds one for each desk that is taken
	slow     *semaphore.Weighted
	patience time.Duration
	buffers  chan []byte // of bodies that were answered, for the next
}

func newDesks(workers int) *desks {
	if workers == 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	return &desks{make(chan struct{}, 2*workers), semaphore.NewWeighted(slowBytes), patience, make(chan []byte, 2*workers)}
}

func (d *desks) take(ctx context.Context) error {
	select {
	case d.free <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (d *desks) leave() { <-d.free }

// buffer is memory of n bytes for a body.
func (d *desks) buffer(n int64) []byte {
	select {
	case b := <-d.buffers:
		if int64(cap(b)) >= n {
			return b[:n]
		}
	default:
	}
	return make([]byte, n)
}

// largeBuffer is above almost every photo: larger ones are not kept.
const largeBuffer = 8 << 20

// reuse takes back what buffer gave. Nobody else may hold it.
func (d *desks) reuse(b []byte) {
	if cap(b) > largeBuffer {
		return
	}
	select {
	case d.buffers <- b:
	default:
	}
}

// grow tells of memory that a body is about to take. Its error is the answer.
type grow func(bytes int64) error

// read reads a body at a desk. The caller leaves the desk after the answer, unless
// there is an error. cut must make read fail soon.
func (d *desks) read(ctx context.Context, cut func(), read func(grow) error) error {
	if err := d.take(ctx); err != nil {
		return err
	}
	var mu sync.Mutex
	var size, reserved int64 // of the body, and of that among the slow ones
	var left, refused, over bool
	reserve := func() bool {
		more := min(size, slowBytes) - reserved
		if !d.slow.TryAcquire(more) {
			return false
		}
		reserved += more
		return true
	}
	timer := time.AfterFunc(d.patience, func() {
		mu.Lock()
		defer mu.Unlock()
		if over {
			return
		}
		if !reserve() {
			refused = true
			cut()
			return
		}
		left = true
		d.leave()
	})
	err := read(func(n int64) error {
		mu.Lock()
		defer mu.Unlock()
		if size += n; left && !reserve() {
			return errFull
		}
		return nil
	})
	timer.Stop()
	mu.Lock()
	defer mu.Unlock()
	over = true
	switch {
	case refused:
		d.leave()
		return errFull
	case left:
		defer d.slow.Release(reserved)
		if err != nil {
			return err
		}
		return d.take(ctx)
	case err != nil:
		d.leave()
	}
	return err
}

var errFull = errs.Permanentf(overloaded, "slow uploads hold %d MB already: try again in a second", slowBytes>>20)

// aside keeps a body that was read at a desk in memory after the desk is left,
// among the slow ones, until release.
func (d *desks) aside(bytes int64) (release func(), err error) {
	bytes = min(bytes, slowBytes)
	if !d.slow.TryAcquire(bytes) {
		return nil, errFull
	}
	return func() { d.slow.Release(bytes) }, nil
}

// atDesk receives a request's body at a desk, which the caller leaves after the
// answer, unless there is an error.
func (s *server) atDesk(ctx context.Context, r *http.Request, receive func() error) error {
	return s.desks.read(ctx, func() { hangUp(r) }, func(grow grow) error {
		if err := grow(s.bodySize(r)); err != nil {
			return err
		}
		return receive()
	})
}

// bodySize is what a request's body may take.
func (s *server) bodySize(r *http.Request) int64 {
	if r.ContentLength < 0 {
		return s.c.MaxBody
	}
	return r.ContentLength
}

// named reports whether a photo is only named: it is fetched from elsewhere, which
// may take long.
func (p photo) named() bool { return len(p.data) == 0 }

type connectionKey struct{}

// remember puts a connection into the context of its requests.
func remember(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connectionKey{}, c)
}

// hangUp makes reading a request's body fail; the answer can still be written.
func hangUp(r *http.Request) {
	if c, ok := r.Context().Value(connectionKey{}).(net.Conn); ok {
		_ = c.SetReadDeadline(time.Unix(1, 0)) // the connection may be gone
	}
}
