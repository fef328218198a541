package blobtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/errs"
)

// Slow is a bucket whose requests take Latency each, and which lists a thousand
// objects a request, as Cloud Storage does. In a synctest bubble the time that a
// call takes tells how many requests it made one after the other.
type Slow struct {
	blob.Bucket
	Latency time.Duration
}

func (s Slow) wait(ctx context.Context, requests int) error {
	select {
	case <-time.After(time.Duration(requests) * s.Latency):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Fetch implements blob.Fetcher.
func (s Slow) Fetch(ctx context.Context, name string) ([]byte, int64, error) {
	if err := s.wait(ctx, 1); err != nil {
		return nil, 0, err
	}
	return blob.Fetch(ctx, s.Bucket, name)
}

// Open implements blob.Bucket: a request for the attributes, and one for the
// content.
func (s Slow) Open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, blob.Attrs, error) {
	if err := s.wait(ctx, 2); err != nil {
		return nil, blob.Attrs{}, err
	}
	return s.Bucket.Open(ctx, name, offset, length)
}

// Stat implements blob.Bucket.
func (s Slow) Stat(ctx context.Context, name string) (blob.Attrs, error) {
	if err := s.wait(ctx, 1); err != nil {
		return blob.Attrs{}, err
	}
	return s.Bucket.Stat(ctx, name)
}

// Write implements blob.Bucket.
func (s Slow) Write(ctx context.Context, name string, r io.Reader, o blob.WriteOptions) (blob.Attrs, error) {
	if err := s.wait(ctx, 1); err != nil {
		return blob.Attrs{}, err
	}
	return s.Bucket.Write(ctx, name, r, o)
}

// Delete implements blob.Bucket.
func (s Slow) Delete(ctx context.Context, name string, generation int64) error {
	if err := s.wait(ctx, 1); err != nil {
		return err
	}
	return s.Bucket.Delete(ctx, name, generation)
}

// List implements blob.Bucket.
func (s Slow) List(ctx context.Context, prefix string) iter.Seq2[blob.Attrs, error] {
	return func(yield func(blob.Attrs, error) bool) {
		n := 0
		for a, err := range s.Bucket.List(ctx, prefix) {
			if n%1000 == 0 {
				if err := s.wait(ctx, 1); err != nil {
					yield(blob.Attrs{}, err)
					return
				}
			}
			if n++; !yield(a, err) {
				return
			}
		}
		if n == 0 {
			if err := s.wait(ctx, 1); err != nil {
				yield(blob.Attrs{}, err)
			}
		}
	}
}

// Fault is what befalls one request.
type Fault int

// Faults.
const (
	None    Fault = iota
	Refused       // nothing happens
	Unheard       // it takes effect, and the answer is lost
)

// Faulty is a bucket that fails at what Fault says of a method and an object, as
// a full disk or a service that is away does: with errs.Unavailable. A write
// that is Refused reads half of what it is given first.
type Faulty struct {
	blob.Bucket
	Fault func(method, name string) Fault
}

var errInjected = errors.New("no space left on device")

func injected(method, name string) error {
	return fmt.Errorf("%s %s: %w: %w", method, name, errInjected, errs.Unavailable)
}

// Fetch implements blob.Fetcher.
func (f Faulty) Fetch(ctx context.Context, name string) ([]byte, int64, error) {
	if f.Fault("read", name) != None {
		return nil, 0, injected("read", name)
	}
	return blob.Fetch(ctx, f.Bucket, name)
}

// Open implements blob.Bucket.
func (f Faulty) Open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, blob.Attrs, error) {
	if f.Fault("read", name) != None {
		return nil, blob.Attrs{}, injected("read", name)
	}
	return f.Bucket.Open(ctx, name, offset, length)
}

// Stat implements blob.Bucket.
func (f Faulty) Stat(ctx context.Context, name string) (blob.Attrs, error) {
	if f.Fault("stat", name) != None {
		return blob.Attrs{}, injected("stat", name)
	}
	return f.Bucket.Stat(ctx, name)
}

// Write implements blob.Bucket.
func (f Faulty) Write(ctx context.Context, name string, r io.Reader, o blob.WriteOptions) (blob.Attrs, error) {
	switch f.Fault("write", name) {
	case Refused:
		_, _ = io.CopyN(io.Discard, r, 512) // as much as fitted
		return blob.Attrs{}, injected("write", name)
	case Unheard:
		if _, err := f.Bucket.Write(ctx, name, r, o); err != nil {
			return blob.Attrs{}, err
		}
		return blob.Attrs{}, injected("write", name)
	}
	return f.Bucket.Write(ctx, name, r, o)
}

// Delete implements blob.Bucket.
func (f Faulty) Delete(ctx context.Context, name string, generation int64) error {
	switch f.Fault("delete", name) {
	case Refused:
		return injected("delete", name)
	case Unheard:
		if err := f.Bucket.Delete(ctx, name, generation); err != nil {
			return err
		}
		return injected("delete", name)
	}
	return f.Bucket.Delete(ctx, name, generation)
}

// List implements blob.Bucket.
func (f Faulty) List(ctx context.Context, prefix string) iter.Seq2[blob.Attrs, error] {
	if f.Fault("list", prefix) != None {
		return func(yield func(blob.Attrs, error) bool) { yield(blob.Attrs{}, injected("list", prefix)) }
	}
	return f.Bucket.List(ctx, prefix)
}
