package predictionlog

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/blob/blobmem"
	"github.com/litterloop/litterloop/shared/errs"
)

var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

func row(id string, at time.Time) Row {
	return Row{
		ID: id, TimeMicros: at.UnixMicro(), Model: "litter", ModelVersion: "3", Dataset: "d1", Revision: "litter-v3",
		TraceID: "t" + id, Width: 640, Height: 480, Bytes: 12345, Brightness: 100, Contrast: 40, Sharpness: 250,
		Boxes: []Box{{ClassID: 1, Class: "can", Confidence: 0.9, X1: 1, Y1: 2, X2: 30, Y2: 40}, {ClassID: 0, Class: "bottle", Confidence: 0.5, X2: 5, Y2: 6}},
	}
}

func TestFile_roundTrip(t *testing.T) {
	empty := row("b", noon)
	empty.Boxes = nil
	want := []Row{row("a", noon), empty, row("c", noon.Add(time.Second))}
	var w bytes.Buffer
	if err := WriteFile(&w, want); err != nil {
		t.Fatal(err)
	}
	got, err := ReadFile(bytes.NewReader(w.Bytes()), int64(w.Len()))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
		t.Errorf("rows differ (-want +got):\n%s", d)
	}
}

func TestReadFile_damagedIsPermanent(t *testing.T) {
	var w bytes.Buffer
	if err := WriteFile(&w, []Row{row("a", noon), row("b", noon)}); err != nil {
		t.Fatal(err)
	}
	for n := range w.Len() {
		cut := w.Bytes()[:n]
		_, err := ReadFile(bytes.NewReader(cut), int64(n))
		if code, ok := errs.Reason(err); !ok || code != Damaged {
			t.Fatalf("first %d of %d bytes: error = %v, want reason %s", n, w.Len(), err, Damaged)
		}
	}
}

func TestRead_range(t *testing.T) {
	ctx, b := t.Context(), blobmem.New("predictions")
	put := func(hour time.Time, name string, rows ...Row) {
		t.Helper()
		var w bytes.Buffer
		if err := WriteFile(&w, rows); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Write(ctx, Dir(hour)+name, &w, blob.WriteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	put(noon.Add(-time.Hour), "x-000001.parquet", row("early", noon.Add(-time.Minute)), row("spills over", noon.Add(time.Minute)))
	put(noon, "x-000002.parquet", row("in", noon), row("last", noon.Add(time.Hour-time.Microsecond)))
	put(noon.Add(time.Hour), "x-000003.parquet", row("end is excluded", noon.Add(time.Hour)))
	var got []string
	for r, err := range Read(ctx, b, noon, noon.Add(time.Hour)) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, r.ID)
	}
	if want := []string{"spills over", "in", "last"}; !slices.Equal(got, want) {
		t.Errorf("rows %q, want %q", got, want)
	}
}

func TestRead_damagedFileIsAnError(t *testing.T) {
	ctx, b := t.Context(), blobmem.New("predictions")
	if _, err := b.Write(ctx, Dir(noon)+"x-000001.parquet", bytes.NewReader([]byte("no")), blob.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	var last error
	for _, err := range Read(ctx, b, noon, noon.Add(time.Hour)) {
		last = err
	}
	if code, _ := errs.Reason(last); code != Damaged {
		t.Errorf("error = %v, want reason %s", last, Damaged)
	}
}
