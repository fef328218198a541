package intake

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/dataset"
)

// dying is a bucket that fails for good from its k-th operation on, as when the
// process dies: with after, that operation still takes effect.
type dying struct {
	blob.Bucket
	left  *int
	mu    *sync.Mutex
	after bool
}

var errDead = errors.New("dead")

func (d dying) step() (alive, last bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	*d.left--
	return *d.left > 0, *d.left == 0
}

func (d dying) Write(ctx context.Context, name string, r io.Reader, o blob.WriteOptions) (blob.Attrs, error) {
	alive, last := d.step()
	if alive {
		return d.Bucket.Write(ctx, name, r, o)
	}
	if last && d.after {
		d.Bucket.Write(ctx, name, r, o)
	}
	return blob.Attrs{}, errDead
}

func (d dying) Copy(ctx context.Context, dst string, from blob.Bucket, src string, o blob.WriteOptions) (blob.Attrs, error) {
	alive, last := d.step()
	if alive {
		return d.Bucket.Copy(ctx, dst, from, src, o)
	}
	if last && d.after {
		d.Bucket.Copy(ctx, dst, from, src, o)
	}
	return blob.Attrs{}, errDead
}

func (d dying) Stat(ctx context.Context, name string) (blob.Attrs, error) {
	if alive, _ := d.step(); !alive {
		return blob.Attrs{}, errDead
	}
	return d.Bucket.Stat(ctx, name)
}

func (d dying) Delete(ctx context.Context, name string, gen int64) error {
	alive, last := d.step()
	if alive {
		return d.Bucket.Delete(ctx, name, gen)
	}
	if last && d.after {
		d.Bucket.Delete(ctx, name, gen)
	}
	return errDead
}

func (d dying) Open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, blob.Attrs, error) {
	if alive, _ := d.step(); !alive {
		return nil, blob.Attrs{}, errDead
	}
	return d.Bucket.Open(ctx, name, offset, length)
}

func (d dying) List(ctx context.Context, prefix string) iter.Seq2[blob.Attrs, error] {
	if alive, _ := d.step(); !alive {
		return func(yield func(blob.Attrs, error) bool) { yield(blob.Attrs{}, errDead) }
	}
	return d.Bucket.List(ctx, prefix)
}

// A process that dies at any operation and is run again ends where one that
// lived does, and at no time is there a summary of a version that is not whole.
func TestTake_killedAnywhere(t *testing.T) {
	names, content := batch(6, 0)
	content[names[2]] = content[names[2]][:100] // cut short: something is quarantined
	var objects []object
	for _, name := range []string{names[0], names[1], dataset.LabelsFile, names[2], names[3], names[4], names[5]} {
		objects = append(objects, object{name, content[name]})
	}
	killedAnywhere(t, objects)
}

// object is one of a batch's, dropped in order.
type object struct {
	name string
	data []byte
}

func killedAnywhere(t *testing.T, objects []object) {
	play := func(w *world, in *Intake) error {
		in.partMembers = 3
		for _, o := range objects {
			w.put("b/"+o.name, o.data)
			if _, err := in.Take(t.Context(), "b/"+o.name); err != nil {
				return err
			}
		}
		return nil
	}
	lived := newWorld(t)
	if err := play(lived, lived.in); err != nil {
		t.Fatal(err)
	}
	want := lived.state()
	for _, after := range []bool{false, true} {
		for k := 1; ; k++ {
			w := newWorld(t)
			left, mu := k, &sync.Mutex{}
			err := play(w, w.intake(dying{w.incoming, &left, mu, after}, dying{w.datasets, &left, mu, after}))
			if err == nil {
				if k < 20 {
					t.Fatalf("only %d operations were failed", k)
				}
				break
			}
			versions, err := dataset.List(t.Context(), w.datasets)
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range versions {
				w.checkWhole(v)
			}
			if err := play(w, w.in); err != nil {
				t.Fatalf("operation %d failed, then: %v", k, err)
			}
			if d := cmp.Diff(want, w.state()); d != "" {
				t.Fatalf("operation %d failed (effect %v), and the end differs: %s", k, after, d)
			}
		}
	}
}

// checkWhole fails the test unless every file of v is there, byte for byte.
func (w *world) checkWhole(v dataset.Version) {
	w.t.Helper()
	dir, _, err := blob.ReadAll(w.t.Context(), w.datasets, dataset.ContentObject(v.DirMD5)+".dir")
	if err != nil || dataset.MD5Hex(dir) != v.DirMD5 {
		w.t.Fatalf("the listing of version %s: %v", v.ID, err)
	}
	var files []struct{ MD5, Relpath string }
	if err := json.Unmarshal(dir, &files); err != nil {
		w.t.Fatal(err)
	}
	if len(files) != v.Files {
		w.t.Errorf("version %s lists %d files and says %d", v.ID, len(files), v.Files)
	}
	total := int64(0)
	for _, f := range files {
		data, _, err := blob.ReadAll(w.t.Context(), w.datasets, dataset.ContentObject(f.MD5))
		if err != nil || dataset.MD5Hex(data) != f.MD5 {
			w.t.Fatalf("%s of version %s: %v", f.Relpath, v.ID, err)
		}
		total += int64(len(data))
	}
	if total != v.Bytes {
		w.t.Errorf("version %s has %d bytes and says %d", v.ID, total, v.Bytes)
	}
}
