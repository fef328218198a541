package intake

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"iter"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/blob/blobmem"
	"github.com/litterloop/litterloop/shared/dataset"
	"github.com/litterloop/litterloop/shared/errs"
)

var noon = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// world is a pair of buckets and an intake between them.
type world struct {
	t                  testing.TB
	incoming, datasets *blobmem.Bucket
	in                 *Intake
}

func newWorld(t testing.TB) *world {
	w := &world{t: t, incoming: blobmem.New("incoming"), datasets: blobmem.New("datasets")}
	w.in = w.intake(w.incoming, w.datasets)
	return w
}

func (w *world) intake(incoming, datasets blob.Bucket) *Intake {
	return New(incoming, datasets, Options{Policy: dataset.DefaultPolicy(), Now: func() time.Time { return noon }, Log: slog.New(slog.DiscardHandler), Inspect: inspectPNG})
}

// inspectPNG stands in for what decodes and measures real photos.
func inspectPNG(data []byte) dataset.Seen {
	s := dataset.Seen{Size: int64(len(data)), Orientation: 1}
	s.MD5 = dataset.MD5Hex(data)
	im, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		s.Fault = errs.Permanent("photo-unreadable", err)
		return s
	}
	s.Width, s.Height = im.Bounds().Dx(), im.Bounds().Dy()
	return s
}

func (w *world) put(name string, data []byte) {
	w.t.Helper()
	if _, err := w.incoming.Write(w.t.Context(), name, bytes.NewReader(data), blob.WriteOptions{IfGeneration: blob.Any}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) take(name string) dataset.BatchStatus {
	w.t.Helper()
	s, err := w.in.Take(w.t.Context(), name)
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// drop puts an object and tells of it.
func (w *world) drop(name string, data []byte) dataset.BatchStatus {
	w.t.Helper()
	w.put(name, data)
	return w.take(name)
}

// photo is a small PNG, its content set by seed.
func photo(seed int) []byte {
	im := image.NewRGBA(image.Rect(0, 0, 40, 30))
	for i := range im.Pix {
		im.Pix[i] = byte(seed + i*(seed%7+1)/9)
	}
	im.Set(seed%40, seed/40%30, color.White)
	var b bytes.Buffer
	if err := png.Encode(&b, im); err != nil {
		panic(err)
	}
	return b.Bytes()
}

type labelled struct {
	name  string
	boxes [][5]float64 // class id, x, y, w, h
}

// labels are COCO labels of photos of 40x30 and the classes Can and Cup.
func labels(photos ...labelled) []byte {
	type m = map[string]any
	images, annotations := []m{}, []m{}
	for i, p := range photos {
		images = append(images, m{"id": i, "file_name": p.name, "width": 40, "height": 30})
		for _, b := range p.boxes {
			annotations = append(annotations, m{"id": len(annotations), "image_id": i, "category_id": b[0], "bbox": b[1:], "iscrowd": 0})
		}
	}
	out, err := json.Marshal(m{"images": images, "annotations": annotations, "categories": []m{{"id": 1, "name": "Can"}, {"id": 4, "name": "Cup"}}})
	if err != nil {
		panic(err)
	}
	return out
}

// batch is n labelled photos with their content.
func batch(n, seed int) (names []string, content map[string][]byte) {
	content = map[string][]byte{}
	var all []labelled
	for i := range n {
		name := fmt.Sprintf("dir %d/ü %04d.jpg", i%3, i)
		all = append(all, labelled{name, [][5]float64{{1, 1, 2, 10, 10}, {4, float64(i % 20), 5, 9.5, 8.25}}})
		content[name] = photo(seed + i)
		names = append(names, name)
	}
	content[dataset.LabelsFile] = labels(all...)
	return append(names, dataset.LabelsFile), content
}

// state is everything in the buckets that matters in the end: content, not
// generations.
func (w *world) state() map[string]string {
	out := map[string]string{}
	for _, b := range []*blobmem.Bucket{w.incoming, w.datasets} {
		for a, err := range b.List(w.t.Context(), "") {
			if err != nil {
				w.t.Fatal(err)
			}
			if strings.HasSuffix(a.Name, "/status.json") || strings.HasPrefix(a.Name, dataset.RejectedPrefix) || a.Name == dataset.HeadObject {
				var doc map[string]any // without generations
				if _, err := blob.ReadJSON(w.t.Context(), b, a.Name, &doc); err != nil {
					w.t.Fatal(err)
				}
				delete(doc, "newest")
				delete(doc, "labels_generation")
				if sources, ok := doc["sources"].([]any); ok {
					for _, s := range sources {
						delete(s.(map[string]any), "generation")
					}
				}
				if batches, ok := doc["batches"].([]any); ok {
					for _, b := range batches {
						delete(b.(map[string]any), "newest")
					}
				}
				out[b.Name()+"/"+a.Name] = fmt.Sprint(doc)
				continue
			}
			out[b.Name()+"/"+a.Name] = a.MD5
		}
	}
	return out
}

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

func (w *world) objects() (n int) {
	for range w.datasets.List(w.t.Context(), "") {
		n++
	}
	return n
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
