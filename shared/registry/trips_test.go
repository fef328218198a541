package registry_test

import (
	"context"
	"fmt"
	"io"
	"iter"
	"sync/atomic"
	"testing"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/blob/blobmem"
	"github.com/litterloop/litterloop/shared/registry"
)

// counted counts requests: each costs Cloud Storage's latency, some 30 ms.
type counted struct {
	*blobmem.Bucket
	requests atomic.Int64 // calls ask for several objects at once
}

func (c *counted) Open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, blob.Attrs, error) {
	c.requests.Add(1)
	return c.Bucket.Open(ctx, name, offset, length)
}

func (c *counted) Stat(ctx context.Context, name string) (blob.Attrs, error) {
	c.requests.Add(1)
	return c.Bucket.Stat(ctx, name)
}

func (c *counted) Write(ctx context.Context, name string, r io.Reader, o blob.WriteOptions) (blob.Attrs, error) {
	c.requests.Add(1)
	return c.Bucket.Write(ctx, name, r, o)
}

func (c *counted) List(ctx context.Context, prefix string) iter.Seq2[blob.Attrs, error] {
	c.requests.Add(1)
	return c.Bucket.List(ctx, prefix)
}

func TestRegistry_threeRequestsACall(t *testing.T) {
	b := &counted{Bucket: blobmem.New("models")}
	r := registry.New(b, fixed)
	for i := range 100 {
		create(t, r, "litter", fmt.Sprint("r", i))
	}
	for name, call := range map[string]func() error{
		"Create": func() error {
			_, err := r.Create(t.Context(), registry.Version{Model: "litter", Run: "new"})
			return err
		},
		"Get":      func() error { _, err := r.Get(t.Context(), "litter", 100); return err },
		"SetAlias": func() error { return r.SetAlias(t.Context(), "litter", "staging", 100, "test", "newest") },
		"Aliases":  func() error { _, err := r.Aliases(t.Context(), "litter"); return err },
	} {
		b.requests.Store(0)
		if err := call(); err != nil || b.requests.Load() > 3 {
			t.Errorf("%s: %d requests, %v", name, b.requests.Load(), err)
		}
	}
	b.requests.Store(0)
	if v, err := r.Resolve(t.Context(), "models:/litter@staging"); err != nil || v.Version != 100 || b.requests.Load() > 2 {
		t.Errorf("Resolve: version %d, %d requests, %v", v.Version, b.requests.Load(), err)
	}
	b.requests.Store(0)
	if v, err := r.Resolve(t.Context(), "models:/litter/latest"); err != nil || v.Version < 100 || b.requests.Load() > 3 {
		t.Errorf("Resolve latest: version %d, %d requests, %v", v.Version, b.requests.Load(), err)
	}
}
