package service

import (
	"context"
	"errors"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/litterloop/litterloop/shared/errs"
	"golang.org/x/sync/semaphore"
)

func TestDesks_slowUploadHoldsNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesks(1) // two desks
		whole := make(chan struct{})
		slow := make(chan error, 4)
		for range 4 {
			go func() {
				slow <- d.read(t.Context(), 1<<20, func() {}, func() error { <-whole; return nil })
			}()
		}
		synctest.Wait()
		began := time.Now()
		if err := d.read(t.Context(), 1<<20, func() {}, func() error { return nil }); err != nil {
			t.Fatal(err)
		}
		if waited := time.Since(began); waited > 2*patience { // two pairs of slow ones before it
			t.Errorf("a quick upload waited %v for slow ones", waited)
		}
		d.leave()
		close(whole)
		for range 2 { // no more than have a desk are answered at once
			if err := <-slow; err != nil {
				t.Error(err)
			}
		}
		synctest.Wait()
		select {
		case <-slow:
			t.Error("three bodies at two desks")
		default:
		}
		for range 2 {
			d.leave()
			if err := <-slow; err != nil {
				t.Error(err)
			}
		}
		d.leave()
		d.leave()
		if len(d.free) != 0 || !d.slow.TryAcquire(slowBytes) {
			t.Error("a desk or memory was not given back")
		}
	})
}

func TestDesks_slowUploadsBeyondTheirMemoryAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &desks{make(chan struct{}, 1), semaphore.NewWeighted(3), patience, nil}
		whole, cut := make(chan struct{}), make(chan struct{})
		first := make(chan error)
		go func() { first <- d.read(t.Context(), 2, func() {}, func() error { <-whole; return nil }) }()
		time.Sleep(2 * patience)
		err := d.read(t.Context(), 2, func() { close(cut) }, func() error { <-cut; return errors.New("cut off") })
		if code, _ := errs.Reason(err); code != overloaded {
			t.Errorf("error %v, want %s", err, overloaded)
		}
		close(whole)
		if err := <-first; err != nil {
			t.Error(err)
		}
		d.leave()
	})
}

func TestDesks_endOfARequestEndsItsWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &desks{make(chan struct{}, 1), semaphore.NewWeighted(8), patience, nil}
		if err := d.take(t.Context()); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := d.read(ctx, 1, func() {}, func() error { return nil }); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
		d.leave()
		if err := d.read(t.Context(), 1, func() {}, func() error { return errors.New("the client is gone") }); err == nil {
			t.Error("a body that was not read is accepted")
		}
		if len(d.free) != 0 {
			t.Error("the desk was not given back")
		}
	})
}

// More clients than there are desks send some of their photo and wait; everybody
// else is answered all the same, and they too once they go on.
func TestDetect_slowClientsHoldNobodyUp(t *testing.T) {
	r := start(t, func(c *Config, _ *Deps) { c.Workers = 1 })
	photo := read(t, testdata+"exact.png")
	want := r.detect(t, "", "image/png", photo)
	var rests []*io.PipeWriter
	answered := make(chan int, 3)
	for range cap(answered) {
		body, writer := io.Pipe()
		rests = append(rests, writer)
		go func() {
			resp, err := http.Post(r.url+"/v1/detect", "image/png", body)
			if err != nil {
				answered <- 0
				return
			}
			resp.Body.Close()
			answered <- resp.StatusCode
		}()
		writer.Write(photo[:100])
	}
	r.await(t, "litterloop_in_flight 4") // with the request for the metrics
	if got := r.detect(t, "", "image/png", photo); len(got.Detections) != len(want.Detections) {
		t.Errorf("%d boxes beside slow clients, want %d", len(got.Detections), len(want.Detections))
	}
	for _, w := range rests {
		go func() {
			w.Write(photo[100:])
			w.Close()
		}()
	}
	for range rests {
		if status := <-answered; status != http.StatusOK {
			t.Errorf("a slow client is answered %d", status)
		}
	}
}
