package intake

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/dataset"
)

func TestTake_labelsLast(t *testing.T) {
	w := newWorld(t)
	if s := w.drop("b/a.jpg", photo(1)); s.State != dataset.Waiting || s.WaitsFor() != "labels: b/annotations.json" {
		t.Errorf("before the labels: %+v", s)
	}
	s := w.drop("b/annotations.json", labels(labelled{"a.jpg", [][5]float64{{4, 30, -2, 20, 10}}}))
	if s.State != dataset.Converted {
		t.Fatalf("got %+v", s)
	}
	v, err := dataset.Load(t.Context(), w.datasets, s.Version)
	if err != nil {
		t.Fatal(err)
	}
	photos, err := dataset.Photos(t.Context(), w.datasets, v.ID)
	if err != nil {
		t.Fatal(err)
	}
	want := []dataset.Photo{{
		Path: "images/train/b/a.jpg", MD5: dataset.MD5Hex(photo(1)), Size: int64(len(photo(1))), Width: 40, Height: 30, Orientation: 1,
		Split: dataset.Train, Batch: "b", Boxes: []dataset.Box{{Class: 1, X: 30, Y: 0, W: 10, H: 8}},
	}}
	if d := cmp.Diff(want, photos); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{"Can", "Cup"}, v.Classes); d != "" {
		t.Error(d)
	}
	if data, err := dataset.OpenPhoto(t.Context(), w.datasets, photos[0]); err != nil || !bytes.Equal(data, photo(1)) {
		t.Errorf("the photo's content is not what was dropped: %v", err)
	}
}

func TestTake_saysWhatItWaitsFor(t *testing.T) {
	w := newWorld(t)
	names, content := batch(30, 0)
	s := w.drop("b/annotations.json", content[dataset.LabelsFile])
	if s.State != dataset.Waiting || s.Missing != 30 || len(s.Examples) != 20 {
		t.Errorf("with no photo: %+v", s)
	}
	for i, name := range names[:29] {
		s = w.drop("b/"+name, content[name])
		if missing := 29 - i; missing <= 10 && s.Missing != missing || s.Missing < missing {
			t.Errorf("lacking %d photos the status says %d", missing, s.Missing)
		}
	}
	if d := cmp.Diff([]string{names[29]}, s.Examples); d != "" {
		t.Error(d)
	}
	if s = w.drop("b/"+names[29], content[names[29]]); s.State != dataset.Converted || s.Counts.Photos != 30 {
		t.Errorf("complete: %+v", s)
	}
}

func TestTake_statusKeepsUpWithSlowUploads(t *testing.T) {
	w := newWorld(t)
	now := noon
	w.in.o.Now = func() time.Time { return now }
	names, content := batch(30, 0)
	w.drop("b/annotations.json", content[dataset.LabelsFile])
	for i, name := range names[:5] {
		now = now.Add(time.Minute)
		if s := w.drop("b/"+name, content[name]); s.Missing != 29-i {
			t.Errorf("lacking %d photos the status says %d", 29-i, s.Missing)
		}
	}
}

// Whatever the order and number of events, and however many handle them at
// once, the end is the same.
func TestTake_anyOrder(t *testing.T) {
	names, content := batch(24, 0)
	run := func(rng *rand.Rand, instances int) map[string]string {
		w := newWorld(t)
		ins := make([]*Intake, instances)
		for i := range ins {
			ins[i] = w.intake(w.incoming, w.datasets)
		}
		events := slices.Clone(names)
		rng.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
		var wg sync.WaitGroup
		for _, name := range events {
			w.put("b/"+name, content[name])
			for range 1 + rng.IntN(3) {
				in := ins[rng.IntN(len(ins))]
				wg.Go(func() {
					if _, err := in.Take(t.Context(), "b/"+name); err != nil {
						t.Error(err)
					}
				})
			}
		}
		wg.Wait()
		return w.state()
	}
	want := run(rand.New(rand.NewPCG(0, 0)), 1)
	if _, ok := want["datasets/head.json"]; !ok {
		t.Fatal("no version was made")
	}
	for seed := range uint64(12) {
		if d := cmp.Diff(want, run(rand.New(rand.NewPCG(seed, 1)), 1+int(seed%3))); d != "" {
			t.Fatalf("seed %d ends differently: %s", seed, d)
		}
	}
}

func TestTake_twoBatchesAtOnceMakeBothPartOfTheNewest(t *testing.T) {
	w := newWorld(t)
	var wg sync.WaitGroup
	for b := range 4 {
		names, content := batch(5, 100*b)
		for _, name := range names {
			object := fmt.Sprintf("batch %d/%s", b, name)
			w.put(object, content[name])
			in := w.intake(w.incoming, w.datasets)
			wg.Go(func() {
				if _, err := in.Take(t.Context(), object); err != nil {
					t.Error(err)
				}
			})
		}
	}
	wg.Wait()
	all, err := dataset.List(t.Context(), w.datasets)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 4 || all[3].Sequence != 4 || all[3].Counts.Photos != 20 || all[3].Splits[dataset.Val].Photos != 4 {
		t.Errorf("got %+v", all)
	}
}

// A Mac uploads ü as u and two dots; labels have it as one character.
func TestTake_accentsApart(t *testing.T) {
	apart, together := "mu\u0308ll.jpg", "m\u00fcll.jpg"
	for _, order := range [][]string{{"b/" + apart, "b/z.jpg", "b/annotations.json"}, {"b/annotations.json", "b/z.jpg", "b/" + apart}, {"b/annotations.json", "b/" + apart, "b/z.jpg"}} {
		w := newWorld(t)
		content := map[string][]byte{"b/" + apart: photo(1), "b/z.jpg": photo(2), "b/annotations.json": labels(labelled{together, nil}, labelled{"z.jpg", nil})}
		var s dataset.BatchStatus
		for i, name := range order {
			w.in = w.intake(w.incoming, w.datasets) // another process for each event
			if s = w.drop(name, content[name]); s.State == dataset.Converted && i < 2 {
				t.Errorf("converted with %q missing", order[2])
			}
		}
		if s.State != dataset.Converted || s.Counts.Photos != 2 {
			t.Errorf("%q: %+v", order, s)
		}
	}
}

func TestTake_correctedBatch(t *testing.T) {
	w := newWorld(t)
	names, content := batch(10, 0)
	for _, n := range names {
		w.drop("b/"+n, content[n])
	}
	first, _ := dataset.List(t.Context(), w.datasets)
	was := w.objects()
	s := w.drop("b/annotations.json", bytes.Replace(content[dataset.LabelsFile], []byte("9.5"), []byte("9.25"), 1))
	if s.State != dataset.Converted || s.Version == first[0].ID {
		t.Fatalf("corrected: %+v", s)
	}
	v, err := dataset.Load(t.Context(), w.datasets, s.Version)
	if err != nil || v.Sequence != 2 || v.Parent != first[0].ID {
		t.Fatalf("%+v %v", v, err)
	}
	w.checkWhole(first[0])
	w.checkWhole(v)
	// New: the labels' and the batch's record, the one label file that says 9.25,
	// the listing, and the five files of versions/ID/.
	if added := w.objects() - was; added != 9 {
		t.Errorf("%d objects were added", added)
	}
	// The correction taken back: the first version's content is the newest again.
	s = w.drop("b/annotations.json", content[dataset.LabelsFile])
	back, err := dataset.Load(t.Context(), w.datasets, s.Version)
	if err != nil || back.ID != first[0].ID || back.Sequence != 3 {
		t.Errorf("taken back: %+v %v", back, err)
	}
	// A photo replaced: new content, new version.
	s = w.drop("b/"+names[0], photo(999))
	if replaced, err := dataset.Load(t.Context(), w.datasets, s.Version); err != nil || replaced.Sequence != 4 {
		t.Errorf("replaced: %+v %v", replaced, err)
	}
}

// counting counts operations by kind.
type counting struct {
	blob.Bucket
	mu *sync.Mutex
	n  map[string]int
}

func (c counting) count(op string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n[op]++
}

func (c counting) Stat(ctx context.Context, name string) (blob.Attrs, error) {
	c.count("stat")
	return c.Bucket.Stat(ctx, name)
}

func (c counting) Copy(ctx context.Context, dst string, from blob.Bucket, src string, o blob.WriteOptions) (blob.Attrs, error) {
	c.count("copy")
	return c.Bucket.Copy(ctx, dst, from, src, o)
}

// Photos that a version has are not copied again, and an event of a photo costs
// two look-ups (by its name and below images/; four for a name with accents), not
// a listing.
func TestTake_costs(t *testing.T) {
	w := newWorld(t)
	c := counting{w.datasets, &sync.Mutex{}, map[string]int{}}
	i := counting{w.incoming, c.mu, map[string]int{}}
	w.in = w.intake(i, c)
	names, content := batch(100, 0)
	for _, n := range append([]string{dataset.LabelsFile}, names[:100]...) {
		w.drop("b/"+n, content[n])
	}
	if c.n["copy"] != 100 || i.n["stat"] > 410 {
		t.Errorf("first: %v %v", c.n, i.n)
	}
	s := w.drop("b/annotations.json", bytes.Replace(content[dataset.LabelsFile], []byte("9.5"), []byte("9.25"), 1))
	if s.State != dataset.Converted || c.n["copy"] != 100 {
		t.Errorf("corrected labels copied photos: %v %+v", c.n, s)
	}
}

func TestTake_exactSplit(t *testing.T) {
	w := newWorld(t)
	names, content := batch(200, 0)
	var s dataset.BatchStatus
	for _, n := range names {
		s = w.drop("b/"+n, content[n])
	}
	v, err := dataset.Load(t.Context(), w.datasets, s.Version)
	if err != nil {
		t.Fatal(err)
	}
	if v.Splits[dataset.Train].Photos != 160 || v.Splits[dataset.Val].Photos != 40 {
		t.Errorf("got %+v", v.Splits)
	}
}
