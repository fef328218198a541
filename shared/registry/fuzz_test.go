package registry_test

import (
	"context"
	"errors"
	"io"
	"path"
	"strings"
	"testing"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/blob/blobmem"
	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/registry"
)

// fenced fails the test when an object outside the registry is read.
type fenced struct {
	*blobmem.Bucket
	t *testing.T
}

func (f fenced) Open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, blob.Attrs, error) {
	if !strings.HasPrefix(path.Clean(name), "registry/") {
		f.t.Errorf("read %q", name)
	}
	return f.Bucket.Open(ctx, name, offset, length)
}

// Whatever a model URI says, it is read inside the registry, and an error is
// either permanent or says that there is no such version.
func FuzzResolve(f *testing.F) {
	for _, uri := range []string{"models:/litter/1", "models:/litter@staging", "models:/litter/latest", "models:/../x/1", "models:/%2e%2e%2f/1", "models:/a@b@c", "models://litter/1"} {
		f.Add(uri)
	}
	f.Fuzz(func(t *testing.T, uri string) {
		b := fenced{blobmem.New("models"), t}
		r := registry.New(b, fixed)
		if _, err := r.Create(t.Context(), registry.Version{Model: "litter", Run: "r1"}); err != nil {
			t.Fatal(err)
		}
		v, err := r.Resolve(t.Context(), uri)
		if _, permanent := errs.Reason(err); err != nil && !permanent && !errors.Is(err, errs.NotFound) {
			t.Errorf("Resolve(%q): %v", uri, err)
		}
		if err == nil && v.Model != "litter" {
			t.Errorf("Resolve(%q) = %+v", uri, v)
		}
	})
}
