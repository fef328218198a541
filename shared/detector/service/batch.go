package service

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"mime"
	"net/http"
	"runtime"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/litterloop/litterloop/shared/detector"
	"github.com/litterloop/litterloop/shared/errs"
)

// lineKind is the media type of JSON by lines.
const lineKind = "application/x-ndjson"

// isLines reports whether a Content-Type means JSON by lines, under any of its
// names.
func isLines(contentType string) bool {
	kind, _, err := mime.ParseMediaType(contentType)
	return err == nil && (kind == lineKind || kind == "application/ndjson" || kind == "application/jsonl")
}

// BatchPhoto is a line of a batch that is sent.
type BatchPhoto struct {
	PhotoBody
	Options
}

// BatchLine is a line of a batch's answer: what was found on a photo, or why it
// was not looked at. The lines come in the photos' order.
type BatchLine struct {
	Index int    `json:"index" doc:"Of the photo in the request, from 0"`
	Photo string `json:"photo,omitempty" doc:"File name or URI, as sent"`
	*Answer
	Error *Problem `json:"error,omitempty"`
}

// BatchAnswer and BatchFailure are what a BatchLine is, one or the other.
type (
	BatchAnswer struct {
		Index int `json:"index" doc:"Of the photo in the request, from 0"`
		Answer
	}
	BatchFailure struct {
		Index int     `json:"index" doc:"Of the photo in the request, from 0"`
		Photo string  `json:"photo,omitempty" doc:"File name or URI, as sent"`
		Error Problem `json:"error"`
	}
)

// item is a photo of a batch, or why there is none. done is called when it is
// answered.
type item struct {
	photo
	options Options
	err     error
	done    func()
}

// items are the photos of a request that was read whole.
func (u upload) items(o DetectOptions) iter.Seq[item] {
	return func(yield func(item) bool) {
		for i := range u.photos {
			it := item{photo: u.photos[i], options: o.Options, done: func() {}}
			u.photos[i].data = nil // let go of as they are answered
			if !yield(it) {
				return
			}
		}
	}
}

// lines are the photos of a body that is read as they are answered, each at a
// desk that it keeps until its answer. A line that cannot be understood is one
// item; a body that cannot be read on is the last.
func (s *server) lines(r *http.Request, o DetectOptions) iter.Seq[item] {
	return func(yield func(item) bool) {
		if err := plain(r); err != nil {
			yield(item{err: err, done: func() {}})
			return
		}
		lines := lineReader{from: bufio.NewReaderSize(r.Body, 64<<10), limit: s.c.MaxBody/3*4 + 64<<10} // base64, and what stands around it
		for {
			err := lines.wait() // at no desk: the client may pause
			var text []byte
			if err == nil {
				err = s.desks.read(r.Context(), func() { hangUp(r) }, func(grow grow) (err error) {
					text, err = lines.next(grow)
					return err
				})
			}
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				yield(item{err: s.broken(err), done: func() {}})
				return
			}
			line := BatchPhoto{Options: o.Options}
			it := item{done: sync.OnceFunc(s.desks.leave)}
			if it.err = strict(text, &line); it.err == nil {
				it.options = line.Options
				it.photo, it.err = line.photo()
			}
			if it.named() { // or is no photo at all
				it.done()
			}
			if !yield(it) {
				return
			}
		}
	}
}

// broken says why a batch is not read on.
func (s *server) broken(err error) error {
	select {
	case <-s.ending:
		return fmt.Errorf("%w: the service ends; send the photos from this one on again", errs.Unavailable)
	default:
	}
	if errors.Is(err, bufio.ErrTooLong) {
		return errs.Permanentf(bodyTooLarge, "a line is above the limit of a photo of %d MB", s.c.MaxBody>>20)
	}
	return s.readFault(err)
}

// stream answers a batch by lines, several photos at once, each line as soon as
// those before it are out. It leaves when all are.
func (s *server) stream(r *http.Request, model *served, leave func(), items iter.Seq[item]) *huma.StreamResponse {
	return &huma.StreamResponse{Body: func(hctx huma.Context) {
		defer leave()
		_, w := humago.Unwrap(hctx)
		conn := http.NewResponseController(w)
		_ = conn.EnableFullDuplex() // HTTP/2 is so anyway
		done := make(chan struct{})
		defer close(done)
		go func() { // stop reading when the service ends: what came so far is answered
			select {
			case <-s.ending:
				_ = conn.SetReadDeadline(time.Unix(1, 0))
			case <-done:
			}
		}()
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		index := 0
		jobs := func(yield func(func() BatchLine) bool) {
			for it := range items {
				i := index
				index++
				if !yield(func() BatchLine {
					defer it.done()
					return s.line(ctx, model, i, it, r)
				}) {
					return
				}
				s.extend(conn)
			}
		}
		s.extend(conn)
		hctx.SetHeader("Content-Type", lineKind)
		encoder := json.NewEncoder(w)
		encoder.SetEscapeHTML(false)
		inOrder(s.atOnce(), jobs, func(l BatchLine) bool {
			_ = conn.SetWriteDeadline(time.Now().Add(s.c.Timeout))
			if encoder.Encode(l) == nil && conn.Flush() == nil {
				return true
			}
			cancel() // the client is gone, or does not read
			_ = conn.SetReadDeadline(time.Unix(1, 0))
			return false
		})
		if index == 0 {
			hctx.SetHeader("Content-Type", "application/problem+json")
			hctx.SetStatus(http.StatusBadRequest)
			_ = encoder.Encode(problem(errs.Permanentf(bodyEmpty, "the body is empty: send a line of JSON for each photo")))
		}
	}}
}

// extend gives the next line of a body its own time to arrive, unless the
// service ends.
func (s *server) extend(conn *http.ResponseController) {
	_ = conn.SetReadDeadline(time.Now().Add(s.c.Timeout))
	select {
	case <-s.ending:
		_ = conn.SetReadDeadline(time.Unix(1, 0))
	default:
	}
}

// atOnce is how many photos of one request are in work.
func (s *server) atOnce() int {
	if s.c.Workers > 0 {
		return s.c.Workers
	}
	return runtime.GOMAXPROCS(0)
}

// line answers one photo of a batch.
func (s *server) line(ctx context.Context, model *served, index int, it item, r *http.Request) BatchLine {
	ctx, cancel := context.WithTimeout(ctx, s.c.Timeout)
	defer cancel()
	l := BatchLine{Index: index, Photo: it.name}
	err := it.err
	var q detector.Query
	if err == nil {
		q, err = it.options.query(model.Spec().Classes)
	}
	if err == nil {
		var a Answer
		if a, err = s.answer(ctx, model, &it.photo, q, r); err == nil {
			l.Answer = &a
			return l
		}
	}
	l.Error = problem(err)
	return l
}

// inOrder runs jobs, at most n beside the one whose result is the next, and emits
// each result when those before it are out, until emit says no. Every job that is
// yielded is run; none is asked for before there is room for it. inOrder returns
// after the last job that it started; a job's panic becomes its own.
func inOrder[T any](n int, jobs iter.Seq[func() T], emit func(T) bool) {
	type outcome struct {
		value T
		panic any
	}
	waiting, stop := make(chan chan outcome, n+1), make(chan struct{})
	room := make(chan struct{}, n) // holds one for each job whose result is not out
	var running sync.WaitGroup
	running.Go(func() {
		defer close(waiting)
		for job := range jobs {
			result := make(chan outcome, 1)
			waiting <- result
			running.Go(func() {
				var o outcome
				defer func() { o.panic = recover(); result <- o }()
				o.value = job()
			})
			select {
			case room <- struct{}{}:
			case <-stop:
				return
			}
		}
	})
	var panicked any
	for result := range waiting {
		o := <-result
		if o.panic != nil || !emit(o.value) {
			panicked = o.panic
			close(stop)
			break
		}
		<-room
	}
	running.Wait()
	if panicked != nil {
		panic(panicked)
	}
}
