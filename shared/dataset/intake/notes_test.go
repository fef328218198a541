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

func finding(s dataset.BatchStatus, code errs.Code) (f dataset.Finding) {
	for _, f := range s.Findings {
		if f.Code == code {
			return f
		}
	}
	return f
}

func TestTake_filesThatLabelsDoNotNameAreToldOfWheneverTheyCome(t *testing.T) {
	w := newWorld(t)
	w.drop("b/early.jpg", photo(1))
	w.drop("b/a.jpg", photo(2))
	s := w.drop("b/annotations.json", labels(labelled{"a.jpg", [][5]float64{{1, 1, 1, 9, 9}}}))
	if f := finding(s, dataset.PhotoNotInLabels); s.State != dataset.Converted || f.Count != 1 {
		t.Fatalf("%+v", s)
	}
	before := s
	w.drop("b/late.jpg", photo(3))
	s = w.take("b/late.jpg")
	if d := cmp.Diff([]string{"early.jpg", "late.jpg"}, finding(s, dataset.PhotoNotInLabels).Examples); d != "" {
		t.Error(d)
	}
	if s.Record != before.Record || s.Version != before.Version {
		t.Error("a file that is not used made another version")
	}
	s = w.drop("b/annotations.json", labels(labelled{"a.jpg", nil}, labelled{"early.jpg", nil}, labelled{"late.jpg", nil}))
	if s.State != dataset.Converted || s.Counts.Photos != 3 || len(s.Findings) != 0 {
		t.Errorf("after labels that name them: %+v", s)
	}
}

func TestTake_labelsOfAnotherNameAreToldOf(t *testing.T) {
	w := newWorld(t)
	w.drop("b/a.jpg", photo(1))
	w.drop("b/sub/annotations.json", labels(labelled{"a.jpg", nil}))
	s := w.take("b/a.jpg")
	if f := finding(s, dataset.LabelsElsewhere); s.State != dataset.Waiting || !cmp.Equal(f.Examples, []string{"sub/annotations.json"}) || !strings.Contains(f.Message, dataset.LabelsFile) {
		t.Fatalf("%+v", s)
	}
	s = w.drop("b/annotations.json", labels(labelled{"a.jpg", nil}))
	if f := finding(s, dataset.LabelsElsewhere); s.State != dataset.Converted || f.Count != 0 {
		t.Errorf("%+v", s)
	}
}

func TestTake_photoDeletedBeforeItsBatchWasWhole(t *testing.T) {
	w := newWorld(t)
	w.drop("b/annotations.json", labels(labelled{"a.jpg", nil}, labelled{"b.jpg", nil}))
	w.drop("b/a.jpg", photo(1))
	if err := w.incoming.Delete(t.Context(), "b/a.jpg", blob.Any); err != nil {
		t.Fatal(err)
	}
	s := w.drop("b/b.jpg", photo(2))
	if says := s.WaitsFor(); says != "1 of 2 photos: a.jpg" {
		t.Errorf("waits for %q", says)
	}
	if s = w.drop("b/a.jpg", photo(1)); s.State != dataset.Converted {
		t.Errorf("%+v", s)
	}
}

// An object that no batch can hold is told of beside the batches for as long as
// it lies there, and its event is not let go before.
func TestTake_strays(t *testing.T) {
	w := newWorld(t)
	long := strings.Repeat("b", maxBatchName+1) + "/1.jpg"
	names := map[string]errs.Code{"stray.jpg": "object-outside-batch", "../1.jpg": dataset.NameUnsafe, "rejected/mine/1.jpg": dataset.NameUnsafe, long: dataset.NameUnsafe}
	for name, want := range names {
		w.put(name, photo(1))
		for range 2 {
			if code, _ := errs.Reason(takeError(w, name)); code != want {
				t.Errorf("%.40q: %q, not %q", name, code, want)
			}
		}
	}
	got := map[string]errs.Code{}
	all, more, err := dataset.Strays(t.Context(), w.incoming, 100)
	if err != nil || more != 0 {
		t.Fatal(more, err)
	}
	for _, s := range all {
		got[s.Object] = s.Code
	}
	if d := cmp.Diff(names, got); d != "" {
		t.Error(d)
	}
	if err := w.incoming.Delete(t.Context(), "stray.jpg", blob.Any); err != nil {
		t.Fatal(err)
	}
	if all, more, err = dataset.Strays(t.Context(), w.incoming, 2); len(all) != 2 || more != 1 && more != 2 || err != nil {
		t.Errorf("%d listed, %d more, %v", len(all), more, err)
	}
	w.in = w.intake(full{w.incoming}, w.datasets)
	if err := takeError(w, "other.jpg"); !errors.Is(err, errs.Unavailable) {
		t.Errorf("an event of which nobody could be told: %v", err)
	}
}

func takeError(w *world, name string) error {
	_, err := w.in.Take(w.t.Context(), name)
	return err
}

// full is a bucket that takes nothing.
type full struct{ blob.Bucket }

func (full) Write(context.Context, string, io.Reader, blob.WriteOptions) (blob.Attrs, error) {
	return blob.Attrs{}, errs.Unavailable
}

// A batch of which much is bad is kept out of the versions, so that others go
// on; what an earlier state of it brought stays.
func TestTake_batchThatLostMuchIsKeptOut(t *testing.T) {
	w := newWorld(t)
	box, outside := [5]float64{1, 1, 1, 9, 9}, [5]float64{1, 500, 500, 9, 9}
	w.drop("b/1.jpg", photo(1))
	first := w.drop("b/annotations.json", labels(labelled{"1.jpg", [][5]float64{box, box}}))
	bad := labels(labelled{"1.jpg", [][5]float64{box, outside}})
	s := w.drop("b/annotations.json", bad)
	if f := finding(s, dataset.BatchLost); s.State != dataset.Rejected || s.Version != first.Version || !cmp.Equal(f.Examples, []string{"1 of 2 boxes"}) {
		t.Fatalf("%+v", s)
	}
	w.drop("c/2.jpg", photo(2))
	if s = w.drop("c/annotations.json", labels(labelled{"2.jpg", [][5]float64{box}})); s.State != dataset.Converted {
		t.Errorf("another batch: %+v", s)
	}
	v, err := dataset.Load(t.Context(), w.datasets, s.Version)
	if err != nil || v.Counts.Boxes != 3 {
		t.Errorf("%+v, %v", v, err)
	}
	w.in.o.Policy.MaxLost = 0.5
	if s = w.take("b/annotations.json"); s.State != dataset.Rejected {
		t.Errorf("the same event again: %+v", s)
	}
	if s = w.drop("b/annotations.json", bad); s.State != dataset.Converted {
		t.Errorf("dropped again under a milder policy: %+v", s)
	}
}
