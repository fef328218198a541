package pull

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/dataset"
	"github.com/litterloop/litterloop/shared/dataset/datasettest"
	"github.com/litterloop/litterloop/shared/dataset/verify"
	"github.com/litterloop/litterloop/shared/errs"
)

// counting is a bucket that counts reads of content, and fails them from the
// one numbered failFrom on.
type counting struct {
	blob.Bucket
	reads, failFrom atomic.Int64
}

func (b *counting) Open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, blob.Attrs, error) {
	if strings.HasPrefix(name, "files/") && !strings.HasSuffix(name, ".dir") {
		if n := b.reads.Add(1); b.failFrom.Load() > 0 && n >= b.failFrom.Load() {
			return nil, blob.Attrs{}, errs.Unavailable
		}
	}
	return b.Bucket.Open(ctx, name, offset, length)
}

func (b *counting) Stat(ctx context.Context, name string) (blob.Attrs, error) {
	if b.failFrom.Load() > 0 {
		return blob.Attrs{}, errs.Unavailable
	}
	return b.Bucket.Stat(ctx, name)
}

func sample(t *testing.T) (*counting, dataset.Version) {
	w := datasettest.New(t)
	classes, photos := datasettest.Sample()
	v := w.Drop("b", classes, photos...)
	return &counting{Bucket: w.Datasets}, v
}

// tree is every file below dir with its content.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(name)
		rel, _ := filepath.Rel(dir, name)
		files[filepath.ToSlash(rel)] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
}

var counts = cmpopts.IgnoreFields(Result{}, "Dataset", "Dir", "Bytes")

func TestPull(t *testing.T) {
	b, v := sample(t)
	dir := filepath.Join(t.TempDir(), "new", "data")
	pull := func(o Options, want Result) {
		t.Helper()
		got, err := Pull(t.Context(), b, v, dir, o)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got, counts, cmpopts.EquateEmpty()); d != "" {
			t.Error(d)
		}
	}
	pull(Options{}, Result{Files: 9, Fetched: 9})
	all := tree(t, dir)
	if len(all) != 9 {
		t.Errorf("files: %v", all)
	}
	files, err := dataset.Files(t.Context(), b, v)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if dataset.MD5Hex([]byte(all[f.Path])) != f.MD5 {
			t.Errorf("%s holds %q", f.Path, all[f.Path])
		}
	}
	b.reads.Store(0)
	pull(Options{}, Result{Files: 9, Kept: 9})
	if n := b.reads.Load(); n != 0 {
		t.Errorf("%d files were fetched again", n)
	}

	// Damage of every kind: of the same size, shorter, gone, a directory in its place.
	photo := ""
	for name := range all {
		if strings.HasSuffix(name, "a.jpg") {
			photo = name
		}
	}
	write(t, filepath.Join(dir, filepath.FromSlash(photo)), "phot0 a")
	write(t, filepath.Join(dir, "data.yaml"), "")
	if err := os.Remove(filepath.Join(dir, filepath.FromSlash(dataset.LabelPath(photo)))); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "images", "train", "old.jpg"), "of another version")
	write(t, filepath.Join(dir, "labels", "train.cache"), "of a trainer")
	write(t, filepath.Join(dir, "notes.txt"), "of a person")
	b.reads.Store(0)
	pull(Options{}, Result{Files: 9, Kept: 6, Fetched: 1, Repaired: 2, Extra: []string{"images/train/old.jpg"}})
	if n := b.reads.Load(); n != 3 {
		t.Errorf("%d files were fetched, not the 3 that were wrong", n)
	}
	pull(Options{Prune: true}, Result{Files: 9, Kept: 9, Extra: []string{"images/train/old.jpg"}, Pruned: 1})
	all["labels/train.cache"], all["notes.txt"] = "of a trainer", "of a person"
	if d := cmp.Diff(all, tree(t, dir)); d != "" {
		t.Error(d)
	}
}

func TestPull_interruptedGoesOn(t *testing.T) {
	b, v := sample(t)
	dir := t.TempDir()
	b.failFrom.Store(4)
	if _, err := Pull(t.Context(), b, v, dir, Options{}); !errors.Is(err, errs.Unavailable) {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, partDir, "left by one that was killed"), "half")
	b.failFrom.Store(0)
	r, err := Pull(t.Context(), b, v, dir, Options{})
	if err != nil || r.Kept+r.Fetched != 9 {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := os.Stat(filepath.Join(dir, partDir)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("parts were left: %v", err)
	}
	if n := len(tree(t, dir)); n != 9 {
		t.Errorf("%d files", n)
	}
}

func TestPull_whatTheBucketHasDamagedIsNamedAndTheRestFetched(t *testing.T) {
	b, v := sample(t)
	photos, err := dataset.Photos(t.Context(), b, v.ID)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Write(t.Context(), dataset.ContentObject(photos[0].MD5), strings.NewReader("phot0 x"), blob.WriteOptions{IfGeneration: blob.Any}); err != nil {
		t.Fatal(err)
	}
	if err := b.Delete(t.Context(), dataset.ContentObject(photos[1].MD5), blob.Any); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	r, err := Pull(t.Context(), b, v, dir, Options{})
	if code, _ := errs.Reason(err); code != Incomplete {
		t.Error(err)
	}
	got := map[string]errs.Code{}
	for _, d := range r.Failed {
		got[d.Path] = d.Code
	}
	if d := cmp.Diff(map[string]errs.Code{photos[0].Path: verify.Corrupt, photos[1].Path: verify.Missing}, got); d != "" {
		t.Error(d)
	}
	if have := tree(t, dir); len(have) != 7 || have[photos[0].Path] != "" {
		t.Errorf("files: %v", have)
	}
}

// A version made by an attacker: its listing is consistent, and names files
// outside the directory.
func TestPull_pathTraversal(t *testing.T) {
	for _, name := range []string{"../x", "images/../../x", "/tmp/x", `images/..\..\x`, ".git/hooks/post-checkout", ".litterloop-pull/x"} {
		b, v := sample(t)
		listing := dataset.DirListing([]dataset.File{{Path: name, MD5: dataset.MD5Hex([]byte("photo a"))}})
		v.DirMD5 = dataset.MD5Hex(listing)
		if _, err := b.Write(t.Context(), dataset.ListingObject(v), bytes.NewReader(listing), blob.WriteOptions{IfGeneration: blob.Any}); err != nil {
			t.Fatal(err)
		}
		outside := t.TempDir()
		_, err := Pull(t.Context(), b, v, filepath.Join(outside, "data"), Options{Prune: true})
		if code, _ := errs.Reason(err); code != dataset.ListingUnsafe {
			t.Errorf("%q: %v", name, err)
		}
		if left := tree(t, outside); len(left) > 0 {
			t.Errorf("%q wrote %v", name, left)
		}
	}
}

// Links in the directory lead nowhere: neither to write, nor to prune.
func TestPull_linksOutOfTheDirectory(t *testing.T) {
	b, v := sample(t)
	for _, link := range []string{"images", "images/train", "labels", "data.yaml", partDir} {
		outside, dir := t.TempDir(), t.TempDir()
		write(t, filepath.Join(outside, "mine.jpg"), "mine")
		at := filepath.Join(dir, filepath.FromSlash(link))
		if err := os.MkdirAll(filepath.Dir(at), 0o777); err != nil {
			t.Fatal(err)
		}
		target := outside
		if link == "data.yaml" {
			target = filepath.Join(outside, "mine.jpg")
		}
		if err := os.Symlink(target, at); err != nil {
			t.Skip("no links here: ", err)
		}
		_, _ = Pull(t.Context(), b, v, dir, Options{Prune: true}) // may refuse, or put a file in the link's place
		if d := cmp.Diff(map[string]string{"mine.jpg": "mine"}, tree(t, outside)); d != "" {
			t.Errorf("%s: %s", link, d)
		}
	}
}
