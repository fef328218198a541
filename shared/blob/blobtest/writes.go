package blobtest

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/errs"
)

var writes = map[string]func(*testing.T, blob.Bucket){
	"content type and metadata are kept": func(t *testing.T, b blob.Bucket) {
		_, err := b.Write(t.Context(), "o", strings.NewReader("{}"), blob.WriteOptions{
			IfGeneration: blob.Any, ContentType: "application/json", Metadata: map[string]string{"run": "r1", "empty": ""},
		})
		if err != nil {
			t.Fatal(err)
		}
		a, err := b.Stat(t.Context(), "o")
		if err != nil || a.ContentType != "application/json" {
			t.Errorf("content type %q, %v", a.ContentType, err)
		}
		if diff := cmp.Diff(map[string]string{"run": "r1", "empty": ""}, a.Metadata); diff != "" {
			t.Errorf("metadata (-want +got):\n%s", diff)
		}
	},
	"a write replaces the object and its generation": func(t *testing.T, b blob.Bucket) {
		first := put(t, b, "o", "one")
		second := put(t, b, "o", "two!")
		if second.Generation == first.Generation {
			t.Errorf("both generations are %d", first.Generation)
		}
		if got := get(t, b, "o"); got != "two!" {
			t.Errorf("read %q", got)
		}
	},
	"sizes around every boundary": func(t *testing.T, b blob.Bucket) {
		random := rand.NewChaCha8([32]byte{1})
		for _, size := range []int{1, 32<<10 - 1, 32 << 10, 32<<10 + 1, 1 << 20, 1<<20 + 1, 9 << 20} {
			want := make([]byte, size)
			random.Read(want)
			if _, err := b.Write(t.Context(), "o", bytes.NewReader(want), blob.WriteOptions{IfGeneration: blob.Any}); err != nil {
				t.Errorf("write %d bytes: %v", size, err)
				continue
			}
			if got, a, err := blob.ReadAll(t.Context(), b, "o"); err != nil || !bytes.Equal(got, want) || a.Size != int64(size) {
				t.Errorf("%d bytes came back as %d (size %d), %v", size, len(got), a.Size, err)
			}
		}
	},
	"an error of the reader leaves the old object, small": func(t *testing.T, b blob.Bucket) {
		abort(t, b, 100)
	},
	"an error of the reader leaves the old object, large": func(t *testing.T, b blob.Bucket) {
		abort(t, b, 10<<20)
	},
	"a deleted object is gone": func(t *testing.T, b blob.Bucket) {
		put(t, b, "o", "x")
		if err := b.Delete(t.Context(), "o", blob.Any); err != nil {
			t.Fatal(err)
		}
		_, err := b.Stat(t.Context(), "o")
		wantErr(t, err, errs.NotFound)
	},
	"deleting what is not there": func(t *testing.T, b blob.Bucket) {
		wantErr(t, b.Delete(t.Context(), "absent", blob.Any), errs.NotFound)
		a := put(t, b, "o", "x")
		if err := b.Delete(t.Context(), "o", a.Generation); err != nil {
			t.Fatal(err)
		}
		wantErr(t, b.Delete(t.Context(), "o", blob.Any), errs.NotFound)
	},
}

// abort writes size bytes and then fails.
func abort(t *testing.T, b blob.Bucket, size int) {
	old := put(t, b, "o", "old")
	fault := errors.New("the source broke")
	r := io.MultiReader(io.LimitReader(rand.NewChaCha8([32]byte{2}), int64(size)), iotest.ErrReader(fault))
	_, err := b.Write(t.Context(), "o", r, blob.WriteOptions{IfGeneration: blob.Any})
	wantErr(t, err, fault)
	if a, err := b.Stat(t.Context(), "o"); err != nil || a.Generation != old.Generation {
		t.Errorf("after the failed write: generation %d, %v, want %d", a.Generation, err, old.Generation)
	}
	if got := get(t, b, "o"); got != "old" {
		t.Errorf("after the failed write the object holds %d bytes", len(got))
	}
}
