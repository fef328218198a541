package blobtest

import (
	"crypto/md5"
	"encoding/hex"
	"hash/crc32"
	"io"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/errs"
)

var reads = map[string]func(*testing.T, blob.Bucket){
	"what was never written is not found": func(t *testing.T, b blob.Bucket) {
		_, err := b.Stat(t.Context(), "absent")
		wantErr(t, err, errs.NotFound)
		_, _, err = b.Open(t.Context(), "absent", 0, -1)
		wantErr(t, err, errs.NotFound)
	},
	"ranges": func(t *testing.T, b blob.Bucket) {
		put(t, b, "o", "0123456789")
		for _, c := range []struct {
			offset, length int64
			want           string
		}{
			{0, -1, "0123456789"}, {0, 4, "0123"}, {3, 4, "3456"}, {7, -1, "789"}, {7, 100, "789"},
			{0, 0, ""}, {4, 0, ""}, {10, -1, ""}, {10, 5, ""}, {99, -1, ""}, {9, 1, "9"},
		} {
			r, a, err := b.Open(t.Context(), "o", c.offset, c.length)
			if err != nil {
				t.Errorf("Open(%d, %d): %v", c.offset, c.length, err)
				continue
			}
			p, err := io.ReadAll(r)
			if err != nil || string(p) != c.want || a.Size != 10 {
				t.Errorf("Open(%d, %d) = %q, size %d, %v, want %q of 10", c.offset, c.length, p, a.Size, err, c.want)
			}
			if err := r.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		}
	},
	"a fetch is the newest generation, whole": func(t *testing.T, b blob.Bucket) {
		_, _, err := blob.Fetch(t.Context(), b, "absent")
		wantErr(t, err, errs.NotFound)
		for _, content := range []string{"one", "", "three"} {
			a := put(t, b, "o", content)
			p, generation, err := blob.Fetch(t.Context(), b, "o")
			if err != nil || string(p) != content || generation != a.Generation {
				t.Errorf("Fetch = %q of generation %d, %v, want %q of %d", p, generation, err, content, a.Generation)
			}
		}
	},
	"an empty object": func(t *testing.T, b blob.Bucket) {
		put(t, b, "empty", "")
		p, a, err := blob.ReadAll(t.Context(), b, "empty")
		if err != nil || len(p) != 0 || a.Size != 0 {
			t.Errorf("got %q, size %d, %v", p, a.Size, err)
		}
	},
	"attributes are the same from write, stat, open and list": func(t *testing.T, b blob.Bucket) {
		sum := md5.Sum([]byte("hello"))
		written := put(t, b, "dir/o", "hello")
		if written.Name != "dir/o" || written.Size != 5 || written.MD5 != hex.EncodeToString(sum[:]) || written.Generation <= 0 ||
			written.CRC32C != crc32.Checksum([]byte("hello"), crc32.MakeTable(crc32.Castagnoli)) {
			t.Errorf("Write returned %+v", written)
		}
		stat, err := b.Stat(t.Context(), "dir/o")
		if err != nil {
			t.Fatal(err)
		}
		_, opened, err := blob.ReadAll(t.Context(), b, "dir/o")
		if err != nil {
			t.Fatal(err)
		}
		sameTime := cmp.Comparer(func(x, y time.Time) bool { return x.Equal(y) })
		if diff := cmp.Diff(written, stat, sameTime); diff != "" {
			t.Errorf("Stat (-Write +Stat):\n%s", diff)
		}
		if diff := cmp.Diff(written, opened, sameTime); diff != "" {
			t.Errorf("Open (-Write +Open):\n%s", diff)
		}
		for listed, err := range b.List(t.Context(), "") {
			if diff := cmp.Diff(written, listed, sameTime); err != nil || diff != "" {
				t.Errorf("List: %v (-Write +List):\n%s", err, diff)
			}
		}
	},
}
