package blobtest

import (
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/errs"
)

func write(t *testing.T, b blob.Bucket, name, content string, ifGeneration int64) error {
	_, err := b.Write(t.Context(), name, strings.NewReader(content), blob.WriteOptions{IfGeneration: ifGeneration})
	return err
}

var conditions = map[string]func(*testing.T, blob.Bucket){
	"create only": func(t *testing.T, b blob.Bucket) {
		if err := write(t, b, "o", "one", blob.Absent); err != nil {
			t.Fatal(err)
		}
		wantErr(t, write(t, b, "o", "two", blob.Absent), errs.Conflict)
		wantErr(t, write(t, b, "o", "one", blob.Absent), errs.Conflict) // the same bytes too
		if got := get(t, b, "o"); got != "one" {
			t.Errorf("the object holds %q", got)
		}
	},
	"create only, large": func(t *testing.T, b blob.Bucket) {
		large := strings.Repeat("x", 9<<20)
		if err := write(t, b, "o", large, blob.Absent); err != nil {
			t.Fatal(err)
		}
		wantErr(t, write(t, b, "o", large, blob.Absent), errs.Conflict)
	},
	"create again after a delete": func(t *testing.T, b blob.Bucket) {
		first := put(t, b, "o", "one")
		if err := b.Delete(t.Context(), "o", first.Generation); err != nil {
			t.Fatal(err)
		}
		if err := write(t, b, "o", "two", blob.Absent); err != nil {
			t.Fatal(err)
		}
		a, err := b.Stat(t.Context(), "o")
		if err != nil || a.Generation == first.Generation {
			t.Errorf("generation %d again, %v", a.Generation, err)
		}
	},
	"a write for a generation": func(t *testing.T, b blob.Bucket) {
		first := put(t, b, "o", "one")
		if err := write(t, b, "o", "two", first.Generation); err != nil {
			t.Fatal(err)
		}
		wantErr(t, write(t, b, "o", "three", first.Generation), errs.Conflict)
		wantErr(t, write(t, b, "absent", "x", first.Generation), errs.Conflict)
	},
	"a delete for a generation": func(t *testing.T, b blob.Bucket) {
		first := put(t, b, "o", "one")
		second := put(t, b, "o", "two")
		wantErr(t, b.Delete(t.Context(), "o", first.Generation), errs.Conflict)
		if err := b.Delete(t.Context(), "o", second.Generation); err != nil {
			t.Error(err)
		}
	},
	"of many creators one wins": func(t *testing.T, b blob.Bucket) {
		var won, lost atomic.Int32
		var group sync.WaitGroup
		for range 16 {
			group.Go(func() {
				switch err := write(t, b, "o", "mine", blob.Absent); {
				case err == nil:
					won.Add(1)
				case errors.Is(err, errs.Conflict):
					lost.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		group.Wait()
		if won.Load() != 1 || lost.Load() != 15 {
			t.Errorf("%d won, %d lost", won.Load(), lost.Load())
		}
	},
	"no update is lost": func(t *testing.T, b blob.Bucket) {
		const writers, each = 8, 5
		type counter struct{ N int }
		var group sync.WaitGroup
		for range writers {
			group.Go(func() {
				for range each {
					if _, err := blob.Update(t.Context(), b, "counter", func(c *counter) error { c.N++; return nil }); err != nil {
						t.Error(err)
					}
				}
			})
		}
		group.Wait()
		var c counter
		if _, err := blob.ReadJSON(t.Context(), b, "counter", &c); err != nil || c.N != writers*each {
			t.Errorf("counted %d, %v, want %d", c.N, err, writers*each)
		}
	},
}
