package intake

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/dataset"
	"github.com/litterloop/litterloop/shared/errs"
)

func TestTake_rejects(t *testing.T) {
	tests := []struct {
		name, object string
		data         []byte
		code         errs.Code
	}{
		{"labels that are not JSON", "b/annotations.json", []byte("\xff\xd8"), "labels-not-json"},
		{"labels that are not COCO", "b/annotations.json", []byte(`{"a":1}`), "labels-not-coco"},
		{"labels of nothing", "b/annotations.json", labels(), "labels-empty"},
		{"labels of a photo outside", "b/annotations.json", labels(labelled{"../../etc/passwd", nil}), "labels-empty"},
		{"a single photo that is none", "b/annotations.json", labels(labelled{"bad.jpg", nil}), "photo-unreadable"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.drop("b/bad.jpg", []byte("no photo"))
			s := w.drop(tt.object, tt.data)
			if s.State != dataset.Rejected || finding(s, tt.code).Count == 0 {
				t.Fatalf("got %+v", s)
			}
			var beside dataset.BatchStatus
			if _, err := blob.ReadJSON(t.Context(), w.incoming, "rejected/b.json", &beside); err != nil {
				t.Fatal(err)
			}
			all, err := dataset.Batches(t.Context(), w.datasets)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff([]dataset.BatchStatus{beside}, all); d != "" {
				t.Error(d)
			}
			if s := w.take("rejected/b.json"); s.Batch != "" {
				t.Errorf("the rejection was taken for a batch: %+v", s)
			}
			w.drop("b/bad.jpg", photo(1))
			if s := w.drop("b/annotations.json", labels(labelled{"bad.jpg", nil})); s.State != dataset.Converted {
				t.Errorf("mended: %+v", s)
			}
			if _, err := w.incoming.Stat(t.Context(), "rejected/b.json"); !errors.Is(err, errs.NotFound) {
				t.Errorf("mended, but the rejection is still there: %v", err)
			}
		})
	}
}

func TestTake_photoTooLargeIsNotRead(t *testing.T) {
	w := newWorld(t)
	w.in.o.Policy.MaxPhotoBytes, w.in.o.Policy.MaxLost = 1000, 0.5
	w.in.o.Inspect = func(data []byte) dataset.Seen {
		if len(data) > 1000 {
			t.Errorf("%d bytes were read", len(data))
		}
		return inspectPNG(data)
	}
	w.drop("b/large.png", append(photo(1), make([]byte, 1000)...))
	w.drop("b/small.png", photo(2)[:])
	s := w.drop("b/annotations.json", labels(labelled{"large.png", nil}, labelled{"small.png", nil}))
	if s.State == dataset.Waiting || len(s.Findings) == 0 || s.Findings[0].Code != photoTooLarge {
		t.Errorf("got %+v", s)
	}
}

func TestTake_permanent(t *testing.T) {
	w := newWorld(t)
	for object, code := range map[string]errs.Code{"stray.jpg": "object-outside-batch", "../x.jpg": "name-unsafe", "/x.jpg": "name-unsafe", "rejected/sub/x.jpg": "name-unsafe"} {
		_, err := w.in.Take(t.Context(), object)
		if got, _ := errs.Reason(err); got != code {
			t.Errorf("%q: %v, want %s", object, err, code)
		}
	}
}

func TestTake_awkwardNamesGoOn(t *testing.T) {
	w := newWorld(t)
	long := strings.Repeat("長", 100) + ".jpg"
	names := []string{"a b.jpg", "A B.JPG", "a b.png", "images/a b.jpg", "ünï/ço dé.jpg", long, "x/x.jpg", "y/x.jpg", "dup.jpg"}
	var all []labelled
	for i, n := range names {
		all = append(all, labelled{n, [][5]float64{{1, float64(i), 1, 3, 3}}})
		w.drop("b/"+n, photo(i))
	}
	w.drop("b/dup.jpg", photo(0))
	w.drop("b/extra.txt", []byte("notes"))
	all = append(all, labelled{"../escape.jpg", nil}, labelled{"bad.jpg", nil})
	w.drop("b/bad.jpg", photo(50)[:200])
	s := w.drop("b/annotations.json", labels(all...))
	if s.State != dataset.Converted {
		t.Fatalf("got %+v", s)
	}
	got := map[errs.Code]int{}
	for _, f := range s.Findings {
		got[f.Code] = f.Count
	}
	if d := cmp.Diff(map[errs.Code]int{"name-unsafe": 1, "photo-unreadable": 1, "photo-duplicate": 1, "photo-not-in-labels": 1, "name-changed": 4}, got); d != "" {
		t.Errorf("%s\n%+v", d, s.Findings)
	}
	v, err := dataset.Load(t.Context(), w.datasets, s.Version)
	if err != nil {
		t.Fatal(err)
	}
	w.checkWhole(v)
	photos, _ := dataset.Photos(t.Context(), w.datasets, v.ID)
	labelsOf := map[string]bool{}
	for _, p := range photos {
		l := strings.ToLower(dataset.LabelPath(p.Path))
		if labelsOf[l] || strings.Count(p.Path, "/images/") > 0 {
			t.Errorf("%s shares or loses its labels", p.Path)
		}
		labelsOf[l] = true
		for segment := range strings.SplitSeq(p.Path, "/") {
			if len(segment) > 255 {
				t.Errorf("a name of %d bytes", len(segment))
			}
		}
	}
	if len(photos) != 8 {
		t.Errorf("%d photos, want 8", len(photos))
	}
}

// missing is a bucket that does not exist.
type missing struct{ blob.Bucket }

func (missing) Copy(context.Context, string, blob.Bucket, string, blob.WriteOptions) (blob.Attrs, error) {
	return blob.Attrs{}, errs.NotFound
}

func (missing) Write(context.Context, string, io.Reader, blob.WriteOptions) (blob.Attrs, error) {
	return blob.Attrs{}, errs.NotFound
}

// A bucket that is not there yet must not look like a photo that is gone: the
// event would be acknowledged, and the batch lost.
func TestTake_missingBucketIsTransient(t *testing.T) {
	w := newWorld(t)
	w.drop("b/annotations.json", labels(labelled{"a.jpg", nil}))
	w.put("b/a.jpg", photo(1))
	_, err := w.intake(w.incoming, missing{w.datasets}).Take(t.Context(), "b/a.jpg")
	if _, permanent := errs.Reason(err); err == nil || permanent {
		t.Errorf("got %v", err)
	}
}

// A photo deleted while its batch waits: the batch waits on.
func TestTake_deletedPhotoIsWaitedFor(t *testing.T) {
	w := newWorld(t)
	w.drop("b/annotations.json", labels(labelled{"a.jpg", nil}, labelled{"b.jpg", nil}))
	w.drop("b/a.jpg", photo(1))
	if err := w.incoming.Delete(t.Context(), "b/a.jpg", blob.Any); err != nil {
		t.Fatal(err)
	}
	if s := w.drop("b/b.jpg", photo(2)); s.State != dataset.Waiting {
		t.Errorf("got %+v", s)
	}
	if s := w.drop("b/a.jpg", photo(1)); s.State != dataset.Converted || s.Counts.Photos != 2 {
		t.Errorf("got %+v", s)
	}
}
