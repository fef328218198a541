package validate

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/litterloop/litterloop/functions/convert"
	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/blob/blobmem"
	"github.com/litterloop/litterloop/shared/bus/busmem"
	"github.com/litterloop/litterloop/shared/dataset"
	"github.com/litterloop/litterloop/shared/drawing"
	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/event"
	"github.com/litterloop/litterloop/shared/validation"
)

var noon = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// policy is the default with a small contact sheet, which is what takes time.
func policy() validation.Policy {
	p := validation.DefaultPolicy()
	p.ContactSheet = 3
	return p
}

// loop is the first two functions over buckets in memory.
type loop struct {
	t                  testing.TB
	incoming, datasets *blobmem.Bucket
	bus                *busmem.Bus
	convert            *convert.Function
	validate           *Function
	decided            []string
	fail               error // of the decider
}

func newLoop(t testing.TB, p validation.Policy) *loop {
	l := &loop{t: t, incoming: blobmem.New("incoming"), datasets: blobmem.New("datasets"), bus: &busmem.Bus{}}
	now := func() time.Time { return noon }
	log := slog.New(slog.DiscardHandler)
	l.convert = convert.New(l.incoming, l.datasets, l.bus, dataset.DefaultPolicy(), now, log)
	l.validate = New(l.datasets, DeciderFunc(func(_ context.Context, v dataset.Version) error {
		if l.fail == nil {
			l.decided = append(l.decided, v.ID)
		}
		return l.fail
	}), l.bus, p, now, log)
	return l
}

func finalized(t testing.TB, b blob.Bucket, name string) event.Event {
	e, err := event.New(event.ObjectFinalized, noon, event.Object{Bucket: b.Name(), Name: name}, name)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func (l *loop) drop(name string, data []byte) {
	l.t.Helper()
	if _, err := l.incoming.Write(l.t.Context(), name, bytes.NewReader(data), blob.WriteOptions{IfGeneration: blob.Any}); err != nil {
		l.t.Fatal(err)
	}
	if err := l.convert.Handle(l.t.Context(), finalized(l.t, l.incoming, name)); err != nil {
		l.t.Fatal(err)
	}
}

// newest is the newest version, validated.
func (l *loop) newest() (dataset.Version, error) {
	l.t.Helper()
	all, err := dataset.List(l.t.Context(), l.datasets)
	if err != nil || len(all) == 0 {
		l.t.Fatalf("%d versions, %v", len(all), err)
	}
	v := all[len(all)-1]
	return v, l.validate.Handle(l.t.Context(), finalized(l.t, l.datasets, dataset.VersionObject(v.ID, dataset.SummaryFile)))
}

// dropDrawn drops drawn photos and their labels.
func (l *loop) dropDrawn(batch string, seed uint64, n int) {
	l.t.Helper()
	set, err := drawing.Set(seed, n, drawing.Day)
	if err != nil {
		l.t.Fatal(err)
	}
	type m = map[string]any
	images, annotations, categories := []m{}, []m{}, []m{}
	for i, c := range drawing.Classes {
		categories = append(categories, m{"id": i + 1, "name": c})
	}
	for i, p := range set {
		name := fmt.Sprintf("%04d.jpg", i)
		l.drop(batch+"/"+name, p.JPEG)
		images = append(images, m{"id": i, "file_name": name})
		for _, b := range p.Boxes {
			annotations = append(annotations, m{"id": len(annotations), "image_id": i, "category_id": b.Class + 1, "bbox": []float64{b.X1, b.Y1, b.X2 - b.X1, b.Y2 - b.Y1}})
		}
	}
	labels, err := json.Marshal(m{"images": images, "annotations": annotations, "categories": categories})
	if err != nil {
		l.t.Fatal(err)
	}
	l.drop(batch+"/annotations.json", labels)
}

func TestHandle_passes(t *testing.T) {
	l := newLoop(t, policy())
	l.dropDrawn("first", 1, 20)
	v, err := l.newest()
	if err != nil {
		t.Fatal(err)
	}
	if current, err := dataset.Current(t.Context(), l.datasets); err != nil || current.ID != v.ID {
		t.Errorf("current is %q, %v", current.ID, err)
	}
	if d := cmp.Diff([]string{v.ID}, l.decided); d != "" {
		t.Error(d)
	}
	if m := l.bus.Messages(); len(m) != 0 {
		t.Errorf("published %v", m)
	}
	first, _, err := blob.ReadAll(t.Context(), l.datasets, dataset.VersionObject(v.ID, dataset.ValidationFile))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.newest(); err != nil { // the same event again
		t.Fatal(err)
	}
	again, _, _ := blob.ReadAll(t.Context(), l.datasets, dataset.VersionObject(v.ID, dataset.ValidationFile))
	if !bytes.Equal(first, again) {
		t.Error("the same event changed the result")
	}
}

func TestHandle_olderVersionLateDoesNotDecide(t *testing.T) {
	l := newLoop(t, policy())
	l.dropDrawn("first", 1, 10)
	l.dropDrawn("second", 2, 10)
	newer, err := l.newest()
	if err != nil {
		t.Fatal(err)
	}
	if err := l.validate.Handle(t.Context(), finalized(t, l.datasets, dataset.VersionObject(newer.Parent, dataset.SummaryFile))); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{newer.ID}, l.decided); d != "" {
		t.Error(d)
	}
	if current, err := dataset.Current(t.Context(), l.datasets); err != nil || current.ID != newer.ID {
		t.Errorf("current went back to %q, %v", current.ID, err)
	}
}

func TestHandle_blockedThenApproved(t *testing.T) {
	strict := policy()
	strict.MinTrain = 1000
	l := newLoop(t, strict)
	l.dropDrawn("few", 1, 10)
	v, err := l.newest()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := dataset.Current(t.Context(), l.datasets); !errors.Is(err, errs.NotFound) || len(l.decided) != 0 {
		t.Errorf("a blocked version went on: %v, %v", l.decided, err)
	}
	m := l.bus.Messages()
	if len(m) != 1 || m[0].Topic != "alerts" || !bytes.Contains(m[0].Event.Data, []byte("too-few-train-photos")) {
		t.Fatalf("published %v", m)
	}
	if err := validation.Approve(t.Context(), l.datasets, v.ID, "ann@example.org", "a first try", noon); err != nil {
		t.Fatal(err)
	}
	err = validation.Approve(t.Context(), l.datasets, v.ID, "bob@example.org", "me too", noon)
	if code, _ := errs.Reason(err); code != "already-approved" {
		t.Errorf("a second approval: %v", err)
	}
	if a, err := validation.LoadApproval(t.Context(), l.datasets, v.ID); err != nil || a.Who != "ann@example.org" {
		t.Errorf("recorded: %+v, %v", a, err)
	}
	if err := l.validate.Handle(t.Context(), finalized(t, l.datasets, dataset.VersionObject(v.ID, dataset.ApprovalFile))); err != nil {
		t.Fatal(err)
	}
	if current, err := dataset.Current(t.Context(), l.datasets); err != nil || current.ID != v.ID || len(l.decided) != 1 {
		t.Errorf("an approved version did not go on: %v %v", l.decided, err)
	}
}

func TestHandle_failureIsHandledAgain(t *testing.T) {
	l := newLoop(t, policy())
	l.dropDrawn("first", 1, 10)
	l.fail = errors.New("away")
	if _, err := l.newest(); errs.Status(err) != 503 {
		t.Fatalf("a failed decision answers %v", err)
	}
	l.fail = nil
	if _, err := l.newest(); err != nil || len(l.decided) != 1 {
		t.Errorf("delivered again: %v, %v", l.decided, err)
	}
}

func TestHandle_ignoresAndRefuses(t *testing.T) {
	l := newLoop(t, policy())
	if err := l.validate.Handle(t.Context(), finalized(t, l.datasets, "versions/x/validation.json")); err != nil {
		t.Errorf("an object of no concern: %v", err)
	}
	for name, e := range map[string]event.Event{
		"another bucket": finalized(t, l.incoming, "versions/x/dataset.json"),
		"a gone version": finalized(t, l.datasets, "versions/x/dataset.json"),
		"a broken event": {ID: "1", Data: []byte("{")},
	} {
		if err := l.validate.Handle(t.Context(), e); errs.Status(err) != 200 || err == nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestHandle_damagedPhotoBlocks(t *testing.T) {
	l := newLoop(t, policy())
	l.dropDrawn("first", 1, 10)
	all, _ := dataset.List(t.Context(), l.datasets)
	photos, err := dataset.Photos(t.Context(), l.datasets, all[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.datasets.Write(t.Context(), dataset.ContentObject(photos[3].MD5), bytes.NewReader([]byte("rot")), blob.WriteOptions{IfGeneration: blob.Any}); err != nil {
		t.Fatal(err)
	}
	v, err := l.newest()
	if err != nil {
		t.Fatal(err)
	}
	r, err := validation.Load(t.Context(), l.datasets, v.ID)
	if err != nil || r.Passed || r.Findings[0].Code != validation.Corrupt || r.Findings[0].Examples[0].Photo != photos[3].Path {
		t.Errorf("%+v %v", r, err)
	}
}

// TACO's subset, real photos and labels, goes whole through both functions.
func TestHandle_TACOSubset(t *testing.T) {
	root := "../../../shared/data/taco_subset"
	labels, err := os.ReadFile(filepath.Join(root, "annotations.json"))
	if err != nil {
		t.Skip("the real input is not on this machine: ", err)
	}
	l := newLoop(t, validation.DefaultPolicy())
	l.drop("taco/annotations.json", labels)
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".jpg" && filepath.Ext(path) != ".JPG" {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		l.drop("taco/"+filepath.ToSlash(name), data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	v, err := l.newest()
	if err != nil {
		t.Fatal(err)
	}
	if v.Counts.Photos != 101 || v.Counts.Boxes != 321 || len(v.Classes) != 60 || v.Splits[dataset.Val].Photos != 20 {
		t.Errorf("got %+v", v)
	}
	r, err := validation.Load(t.Context(), l.datasets, v.ID)
	if err != nil || !r.Passed || math.IsNaN(r.ConversionPx) || r.ConversionPx > 0.01 {
		t.Errorf("%+v %v", r, err)
	}
	if dir := os.Getenv("LITTERLOOP_TEST_REPORTS"); dir != "" {
		page, _, err := blob.ReadAll(t.Context(), l.datasets, dataset.VersionObject(v.ID, dataset.ReportFile))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, "taco_subset.html"), page, 0o666)
		}
		if err != nil {
			t.Error(err)
		}
		for _, f := range r.Findings {
			t.Logf("%s %s %d", f.Severity, f.Code, f.Count)
		}
	}
}

// dying is a bucket that fails for good from its k-th operation on, as when the
// process dies; the operation it dies in takes effect.
type dying struct {
	blob.Bucket
	left *atomic.Int64
}

var errDead = errors.New("dead")

func (d dying) Open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, blob.Attrs, error) {
	if d.left.Add(-1) <= 0 {
		return nil, blob.Attrs{}, errDead
	}
	return d.Bucket.Open(ctx, name, offset, length)
}

func (d dying) Write(ctx context.Context, name string, r io.Reader, o blob.WriteOptions) (blob.Attrs, error) {
	left := d.left.Add(-1)
	if left < 0 {
		return blob.Attrs{}, errDead
	}
	a, err := d.Bucket.Write(ctx, name, r, o)
	if left == 0 {
		err = errDead
	}
	return a, err
}

func TestHandle_killedAnywhere(t *testing.T) {
	base := newLoop(t, policy())
	base.dropDrawn("first", 1, 6)
	end := func(b *blobmem.Bucket) map[string]string {
		out := map[string]string{}
		for a, err := range b.List(t.Context(), "") {
			if err != nil {
				t.Fatal(err)
			}
			out[a.Name] = a.MD5
		}
		return out
	}
	clone := func() *blobmem.Bucket {
		b := blobmem.New("datasets")
		for a, err := range base.datasets.List(t.Context(), "") {
			if err == nil {
				_, err = b.Copy(t.Context(), a.Name, base.datasets, a.Name, blob.WriteOptions{IfGeneration: blob.Any})
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		return b
	}
	all, err := dataset.List(t.Context(), base.datasets)
	if err != nil {
		t.Fatal(err)
	}
	e := finalized(t, base.datasets, dataset.VersionObject(all[0].ID, dataset.SummaryFile))
	handle := func(b blob.Bucket) (decided int, err error) {
		decider := DeciderFunc(func(context.Context, dataset.Version) error { decided++; return nil })
		err = New(b, decider, &busmem.Bus{}, policy(), func() time.Time { return noon }, slog.New(slog.DiscardHandler)).Handle(t.Context(), e)
		return decided, err
	}
	lived := clone()
	if _, err := handle(lived); err != nil {
		t.Fatal(err)
	}
	want := end(lived)
	for k := int64(1); ; k++ {
		b := clone()
		left := &atomic.Int64{}
		left.Store(k)
		if _, err := handle(dying{b, left}); err == nil {
			if k < 8 {
				t.Errorf("only %d operations were failed", k)
			}
			break
		} else if errs.Status(err) != 503 {
			t.Fatalf("dead at operation %d, and the event was acknowledged: %v", k, err)
		}
		if decided, err := handle(b); err != nil || decided != 1 {
			t.Fatalf("dead at operation %d, then: decided %d times, %v", k, decided, err)
		}
		if d := cmp.Diff(want, end(b)); d != "" {
			t.Fatalf("dead at operation %d, and the end differs: %s", k, d)
		}
	}
}
