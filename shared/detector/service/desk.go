package service

import (
	"context"
	"net"
	"net/http"
	"runtime"
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

// desks bound the photos whose bytes are in memory: two for each that can be in
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

// read reads a body of at most size bytes at a desk. The caller leaves the desk
// after the answer, unless there is an error. cut must make read fail soon.
func (d *desks) read(ctx context.Context, size int64, cut func(), read func() error) error {
	if err := d.take(ctx); err != nil {
		return err
	}
	var left, refused bool
	decided := make(chan struct{})
	timer := time.AfterFunc(d.patience, func() {
		defer close(decided)
		if !d.slow.TryAcquire(min(size, slowBytes)) {
			refused = true
			cut()
			return
		}
		left = true
		d.leave()
	})
	err := read()
	if !timer.Stop() {
		<-decided
	}
	switch {
	case refused:
		d.leave()
		return errs.Permanentf(overloaded, "slow uploads hold %d MB already: try again in a second", slowBytes>>20)
	case left:
		defer d.slow.Release(min(size, slowBytes))
		if err != nil {
			return err
		}
		return d.take(ctx)
	case err != nil:
		d.leave()
	}
	return err
}

// atDesk receives a request's photos at a desk, which the caller leaves after
// the answer.
func (s *server) atDesk(ctx context.Context, r *http.Request, o *DetectOptions) (up upload, leave func(), err error) {
	size := r.ContentLength
	if size < 0 {
		size = s.c.MaxBody
	}
	err = s.desks.read(ctx, size, func() { hangUp(r) }, func() (err error) {
		up, err = s.receive(r, o)
		return err
	})
	if err != nil {
		return upload{}, nil, err
	}
	for _, p := range up.photos {
		if len(p.data) == 0 { // it is fetched from elsewhere, which may take long
			s.desks.leave()
			return up, func() {}, nil
		}
	}
	return up, s.desks.leave, nil
}

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
