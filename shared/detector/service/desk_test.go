package service

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/litterloop/litterloop/shared/errs"
	"golang.org/x/sync/semaphore"
)

// body is one of a size that is known before it is read.
func body(size int64, read func() error) func(grow) error {
	return func(grow grow) error {
		if err := grow(size); err != nil {
			return err
		}
		return read()
	}
}

func TestDesks_slowUploadHoldsNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesks(1) // two desks
		whole := make(chan struct{})
		slow := make(chan error, 4)
		for range 4 {
			go func() {
				slow <- d.read(t.Context(), func() {}, body(1<<20, func() error { <-whole; return nil }))
			}()
		}
		synctest.Wait()
		began := time.Now()
		if err := d.read(t.Context(), func() {}, body(1<<20, func() error { return nil })); err != nil {
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
		go func() { first <- d.read(t.Context(), func() {}, body(2, func() error { <-whole; return nil })) }()
		time.Sleep(2 * patience)
		err := d.read(t.Context(), func() { close(cut) }, body(2, func() error { <-cut; return errors.New("cut off") }))
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
		if err := d.read(ctx, func() {}, body(1, func() error { return nil })); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
		d.leave()
		if err := d.read(t.Context(), func() {}, body(1, func() error { return errors.New("the client is gone") })); err == nil {
			t.Error("a body that was not read is accepted")
		}
		if len(d.free) != 0 {
			t.Error("the desk was not given back")
		}
	})
}

// asked is a request of each route that takes large bodies.
type asked struct {
	path, kind string
	body       []byte
}

func largeBodies(t *testing.T) map[string]asked {
	photo := read(t, testdata+"exact.png")
	text := base64.StdEncoding.EncodeToString(photo)
	zeros := strings.TrimSuffix(strings.Repeat("0,", 3*64*64), ",")
	return map[string]asked{
		"a photo":    {"/v1/detect", "image/png", photo},
		"JSON":       {"/v1/detect", "application/json", fmt.Appendf(nil, `{"content":%q}`, text)},
		"lines":      {"/v1/detect", lineKind, fmt.Appendf(nil, "{\"content\":%q}\n{\"content\":%q}\n", text, text)},
		"Vertex AI":  {"/predict", "application/json", fmt.Appendf(nil, `{"instances":[{"content":%q}]}`, text)},
		"raw tensor": {"/v2/models/dynamic/infer", "application/json", fmt.Appendf(nil, `{"inputs":[{"name":"images","shape":[1,3,64,64],"datatype":"FP32","data":[%s]}]}`, zeros)},
	}
}

// upload is a request whose body arrives as it is written; its status is sent to
// answered, 0 where there is none.
func (r running) upload(t *testing.T, a asked, size int64, answered chan<- int) *io.PipeWriter {
	t.Helper()
	body, writer := io.Pipe()
	t.Cleanup(func() { writer.CloseWithError(errors.New("the test is over")) })
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.url+a.path, body)
	if err != nil {
		t.Fatal(err)
	}
	req.ContentLength = size
	req.Header.Set("Content-Type", a.kind)
	go func() {
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			answered <- 0
			return
		}
		defer resp.Body.Close()
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			answered <- 0
			return
		}
		answered <- resp.StatusCode
	}()
	return writer
}

// More clients than there are desks send some of their body and wait; everybody
// else is answered all the same, and they too once they go on.
func TestRoutes_slowClientsHoldNobodyUp(t *testing.T) {
	for name, a := range largeBodies(t) {
		t.Run(name, func(t *testing.T) {
			r := start(t, func(c *Config, _ *Deps) { c.Workers = 1 })
			const clients = 12
			var rests []*io.PipeWriter
			answered := make(chan int, clients)
			for range clients {
				w := r.upload(t, a, int64(len(a.body)), answered)
				w.Write(a.body[:100])
				rests = append(rests, w)
			}
			r.await(t, fmt.Sprintf("litterloop_in_flight %d", clients+1)) // with the request for the metrics
			for _, quick := range largeBodies(t) {
				if code, _, p := r.do(t, http.MethodPost, quick.path, quick.kind, bytes.NewReader(quick.body)); code != http.StatusOK {
					t.Errorf("beside slow clients %s is answered %d %.200s", quick.path, code, p)
				}
			}
			for _, w := range rests {
				go func() {
					w.Write(a.body[100:])
					w.Close()
				}()
			}
			for range clients {
				if status := <-answered; status != http.StatusOK {
					t.Errorf("a slow client is answered %d", status)
				}
			}
		})
	}
}

// Slow clients that promise more than fits are refused, all but a few; who is
// quick is served meanwhile.
func TestRoutes_memoryOfSlowClientsIsBounded(t *testing.T) {
	const clients, size = 24, 31 << 20 // three quarters of a gigabyte
	for name, a := range largeBodies(t) {
		if name == "lines" { // take memory as they arrive: TestLines_growAsTheyArrive
			continue
		}
		t.Run(name, func(t *testing.T) {
			r := start(t, func(c *Config, _ *Deps) { c.Workers = 1 })
			answered := make(chan int, clients)
			for range clients {
				w := r.upload(t, a, size, answered)
				go w.Write(a.body[:100])
			}
			for range clients - slowBytes/size - 2 { // two at a desk may be on their way to give it up
				if status := <-answered; status != http.StatusTooManyRequests {
					t.Fatalf("a slow client is answered %d", status)
				}
			}
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			if m.HeapAlloc > slowBytes+128<<20 {
				t.Errorf("%d MB are in use", m.HeapAlloc>>20)
			}
			photo := largeBodies(t)["a photo"]
			if code, _, p := r.do(t, http.MethodPost, photo.path, photo.kind, bytes.NewReader(photo.body)); code != http.StatusOK {
				t.Errorf("a quick client is answered %d %s", code, p)
			}
		})
	}
}

func TestLines_growAsTheyArrive(t *testing.T) {
	long := strings.Repeat("x", 3<<20)
	for name, c := range map[string]struct {
		body, rest string
		want       []string
		most       int64 // bytes that a line may ask for
		err        error
	}{
		"two lines":              {"a\nbc\n", "", []string{"a", "bc"}, 64 << 10, io.EOF},
		"no end of line":         {"a", "", []string{"a"}, 64 << 10, io.EOF},
		"empty ones between":     {"\n\r\n\na\r\n\n", "", []string{"a"}, 64 << 10, io.EOF},
		"a long one, a short":    {long + "\n", "b\n", []string{long, "b"}, 6 << 20, io.EOF},
		"above the limit":        {strings.Repeat("x", 5<<20), "", nil, 8 << 20, bufio.ErrTooLong},
		"nothing":                {"", "", nil, 0, io.EOF},
		"above what may be held": {long, "", nil, 1 << 20, errFull},
	} {
		t.Run(name, func(t *testing.T) {
			l := lineReader{from: bufio.NewReaderSize(strings.NewReader(c.body+c.rest), 4<<10), limit: 4 << 20}
			var got []string
			for {
				err := l.wait()
				var text []byte
				if err == nil {
					held := int64(0)
					text, err = l.next(func(n int64) error {
						if held += n; held > c.most {
							return errFull
						}
						return nil
					})
				}
				if err != nil {
					if !errors.Is(err, c.err) {
						t.Errorf("error %v, want %v", err, c.err)
					}
					break
				}
				got = append(got, string(text))
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("%d lines, want %d", len(got), len(c.want))
			}
		})
	}
}
