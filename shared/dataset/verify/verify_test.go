package verify

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/blob/blobmem"
	"github.com/litterloop/litterloop/shared/dataset"
	"github.com/litterloop/litterloop/shared/dataset/datasettest"
	"github.com/litterloop/litterloop/shared/errs"
)

type damaged struct {
	Path string
	Code errs.Code
}

func found(r Report) (all []damaged) {
	for _, d := range r.Damage {
		all = append(all, damaged{d.Path, d.Code})
	}
	return all
}

func TestBucket(t *testing.T) {
	type world struct {
		b      *blobmem.Bucket
		v      *dataset.Version
		photo  dataset.Photo
		labels dataset.File
	}
	put := func(t *testing.T, w world, object, text string) {
		t.Helper()
		if _, err := w.b.Write(t.Context(), object, strings.NewReader(text), blob.WriteOptions{IfGeneration: blob.Any}); err != nil {
			t.Fatal(err)
		}
	}
	remove := func(t *testing.T, w world, object string) {
		t.Helper()
		if err := w.b.Delete(t.Context(), object, blob.Any); err != nil {
			t.Fatal(err)
		}
	}
	const photo, labels = "images/train/b/a.jpg", "labels/train/b/a.txt"
	tests := []struct {
		name  string
		spoil func(*testing.T, world)
		want  []damaged
	}{
		{"nothing", func(*testing.T, world) {}, nil},
		{"a photo of as many other bytes", func(t *testing.T, w world) { put(t, w, dataset.ContentObject(w.photo.MD5), "phot0 a") }, []damaged{{photo, Corrupt}}},
		{"a photo cut short", func(t *testing.T, w world) { put(t, w, dataset.ContentObject(w.photo.MD5), "pho") }, []damaged{{photo, SizeWrong}}},
		{"a photo that is gone", func(t *testing.T, w world) { remove(t, w, dataset.ContentObject(w.photo.MD5)) }, []damaged{{photo, Missing}}},
		{"labels that are others", func(t *testing.T, w world) { put(t, w, dataset.ContentObject(w.labels.MD5), "0 .5 .5 1 1\n") }, []damaged{{labels, Corrupt}}},
		{"labels that are gone", func(t *testing.T, w world) { remove(t, w, dataset.ContentObject(w.labels.MD5)) }, []damaged{{labels, Missing}}},
		{"a listing that is gone", func(t *testing.T, w world) { remove(t, w, dataset.ListingObject(*w.v)) }, []damaged{{"listing of files", Missing}}},
		{"another listing", func(t *testing.T, w world) { put(t, w, dataset.ListingObject(*w.v), "[]") }, []damaged{{"listing of files", Altered}}},
		{"the photos' list altered", func(t *testing.T, w world) {
			text, _, err := blob.ReadAll(t.Context(), w.b, dataset.VersionObject(w.v.ID, dataset.PhotosFile))
			if err != nil {
				t.Fatal(err)
			}
			put(t, w, dataset.VersionObject(w.v.ID, dataset.PhotosFile), strings.Replace(string(text), `"x":10`, `"x":11`, 1))
		}, []damaged{{dataset.PhotosFile, Altered}}},
		{"the photos' list gone", func(t *testing.T, w world) { remove(t, w, dataset.VersionObject(w.v.ID, dataset.PhotosFile)) }, []damaged{{dataset.PhotosFile, Missing}}},
		{"classes altered", func(_ *testing.T, w world) { w.v.Classes = []string{"Can", "Bottle"} }, []damaged{{dataset.PhotosFile, Altered}}},
		{"counts altered", func(_ *testing.T, w world) { w.v.Files++ }, []damaged{{dataset.DVCFile, Altered}}},
		{"DVC's pointer gone", func(t *testing.T, w world) { remove(t, w, dataset.VersionObject(w.v.ID, dataset.DVCFile)) }, []damaged{{dataset.DVCFile, Missing}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := datasettest.New(t)
			classes, photos := datasettest.Sample()
			v := w.Drop("b", classes, photos...)
			spoiled := world{b: w.Datasets, v: &v}
			files, err := dataset.Files(t.Context(), w.Datasets, v)
			if err != nil {
				t.Fatal(err)
			}
			all, err := dataset.Photos(t.Context(), w.Datasets, v.ID)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range all {
				if p.Path == photo {
					spoiled.photo = p
				}
			}
			for _, f := range files {
				if f.Path == labels {
					spoiled.labels = f
				}
			}
			tt.spoil(t, spoiled)
			for _, quick := range []bool{false, true} { // blobmem's own checksums are honest
				r, err := Bucket(t.Context(), w.Datasets, v, Options{Quick: quick})
				if err != nil {
					t.Fatal(err)
				}
				if d := cmp.Diff(tt.want, found(r), cmpopts.EquateEmpty()); d != "" {
					t.Errorf("quick %v: %s", quick, d)
				}
				if r.Sound() != (tt.want == nil) {
					t.Errorf("sound: %v", r.Sound())
				}
			}
		})
	}
}

// away is a bucket that does not answer.
type away struct{ blob.Bucket }

func (away) Stat(context.Context, string) (blob.Attrs, error) {
	return blob.Attrs{}, errs.Unavailable
}

func TestBucket_awayIsNoDamage(t *testing.T) {
	w := datasettest.New(t)
	classes, photos := datasettest.Sample()
	v := w.Drop("b", classes, photos...)
	if r, err := Bucket(t.Context(), away{w.Datasets}, v, Options{Quick: true}); !errors.Is(err, errs.Unavailable) {
		t.Errorf("%+v, %v", r, err)
	}
}

// unreadable is a bucket that tells of its content and does not give it.
type unreadable struct{ blob.Bucket }

func (b unreadable) Open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, blob.Attrs, error) {
	if strings.HasPrefix(name, "files/") && !strings.HasSuffix(name, ".dir") {
		return nil, blob.Attrs{}, errs.Unavailable
	}
	return b.Bucket.Open(ctx, name, offset, length)
}

func TestBucket_contentThatCannotBeRead(t *testing.T) {
	w := datasettest.New(t)
	classes, photos := datasettest.Sample()
	v := w.Drop("b", classes, photos...)
	r, err := Bucket(t.Context(), unreadable{w.Datasets}, v, Options{})
	if err != nil || len(r.Damage) != v.Files || r.Damage[0].Code != Unreadable {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestDirectory(t *testing.T) {
	dir := t.TempDir()
	var files []dataset.File
	write := func(name, text string) {
		t.Helper()
		name = filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"right", "other", "short", "gone", "directory", "link", "unknown-size"} {
		f := dataset.File{Path: "images/train/" + name + ".jpg", MD5: dataset.MD5Hex([]byte("photo")), Size: 5}
		if name == "unknown-size" {
			f.Size = dataset.SizeUnknown
		}
		files = append(files, f)
	}
	for name, text := range map[string]string{"right": "photo", "other": "ph0to", "short": "ph", "unknown-size": "photos", "link-target": "photo"} {
		write("images/train/"+name+".jpg", text)
	}
	write("labels/val.cache", "")
	if err := os.Mkdir(filepath.Join(dir, "images/train/directory.jpg"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("right.jpg", filepath.Join(dir, "images/train/link.jpg")); err != nil {
		t.Skip("no links here: ", err)
	}
	r, err := Directory(t.Context(), files, dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []damaged{
		{"images/train/directory.jpg", NotRegular}, {"images/train/gone.jpg", Missing}, {"images/train/link-target.jpg", Extra},
		{"images/train/link.jpg", NotRegular}, {"images/train/other.jpg", Corrupt}, {"images/train/short.jpg", SizeWrong}, {"images/train/unknown-size.jpg", Corrupt},
	}
	if d := cmp.Diff(want, found(r)); d != "" {
		t.Error(d)
	}
	if r.Files != len(files) {
		t.Errorf("%d files", r.Files)
	}
}
