package local

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/litterloop/litterloop/cmd/litterloop/client"
	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/bus"
	"github.com/litterloop/litterloop/shared/dataset"
	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/event"
)

// noTraining lets versions be made and validated, and nothing be trained.
var noTraining = []byte("dataset: {seed: 1}\nretrain: {min_photos: 1000000}\n")

// expect is what the person who dropped a batch is told of it.
type expect struct {
	State  dataset.BatchState
	Photos int         // that a version holds
	Codes  []errs.Code // in code order
	Waits  string
	Beside bool // there is a rejected/ object
}

// rotten are the batches that people drop by mistake, each with a good part
// where it can have one.
func rotten() map[string]struct {
	files map[string][]byte
	want  expect
} {
	type batch = struct {
		files map[string][]byte
		want  expect
	}
	whole := func(photos ...string) map[string][]byte { return files(labels(photos...), photos...) }
	with := func(f map[string][]byte, name string, data []byte) map[string][]byte {
		f[name] = data
		return f
	}
	ten := numbered(10)
	long := strings.Repeat("n", 296) + ".jpg"
	return map[string]batch{
		"good":          {whole(ten...), expect{State: dataset.Converted, Photos: 10}},
		"truncated":     {with(whole(ten...), "3.jpg", photo(3)[:900]), expect{dataset.Converted, 9, []errs.Code{"photo-unreadable"}, "", true}},
		"not-an-image":  {with(whole(ten...), "4.jpg", []byte("<html>404</html>")), expect{dataset.Converted, 9, []errs.Code{"photo-unreadable"}, "", true}},
		"empty-photo":   {with(whole(ten...), "5.jpg", nil), expect{dataset.Converted, 9, []errs.Code{"photo-unreadable"}, "", true}},
		"other-format":  {with(whole(ten...), "6.jpg", []byte("\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic")), expect{dataset.Converted, 9, []errs.Code{"photo-unsupported"}, "", true}},
		"all-bad":       {with(whole("1.jpg"), "1.jpg", []byte("no")), expect{dataset.Rejected, 0, []errs.Code{"batch-lost-much", "photo-unreadable"}, "", true}},
		"not-json":      {with(whole(ten...), dataset.LabelsFile, []byte("file,x,y\n1.jpg,2,3\n")), expect{dataset.Rejected, 0, []errs.Code{"labels-not-json"}, "", true}},
		"cut-json":      {with(whole(ten...), dataset.LabelsFile, labels(ten...)[:300]), expect{dataset.Rejected, 0, []errs.Code{"labels-not-json"}, "", true}},
		"not-coco":      {with(whole(ten...), dataset.LabelsFile, []byte(`{"shapes": [], "imagePath": "1.jpg"}`)), expect{dataset.Rejected, 0, []errs.Code{"labels-not-coco"}, "", true}},
		"of-nothing":    {with(whole(ten...), dataset.LabelsFile, labels()), expect{dataset.Rejected, 0, []errs.Code{"labels-empty"}, "", true}},
		"category-gaps": {with(whole(ten...), dataset.LabelsFile, edited(ten, gaps)), expect{dataset.Converted, 10, []errs.Code{"category-unknown"}, "", true}},
		"odd-boxes": {with(whole(ten...), dataset.LabelsFile, edited(ten, oddBoxes)), expect{dataset.Converted, 10,
			[]errs.Code{"box-beyond-edge", "box-empty", "box-missing", "box-negative-origin", "box-not-finite", "box-outside"}, "", true}},
		"boxes-elsewhere": {with(whole(ten...), dataset.LabelsFile, edited(ten, elsewhere)), expect{dataset.Rejected, 0, []errs.Code{"batch-lost-much", "box-outside"}, "", true}},
		"photo-missing":   {files(labels("1.jpg", "2.jpg", "gone.jpg"), "1.jpg", "2.jpg"), expect{State: dataset.Waiting, Waits: "1 of 3 photos: gone.jpg"}},
		"photo-extra":     {files(labels(ten[:8]...), append(ten, "Thumbs.db")...), expect{State: dataset.Converted, Photos: 8, Codes: []errs.Code{"photo-not-in-labels"}}},
		"no-labels":       {files(nil, ten...), expect{State: dataset.Waiting, Waits: "labels: no-labels/annotations.json"}},
		"labels-misnamed": {with(files(nil, ten...), "labels.json", labels(ten...)), expect{State: dataset.Waiting, Codes: []errs.Code{"labels-elsewhere"}, Waits: "labels: labels-misnamed/annotations.json"}},
		"names": {whole(append(numbered(12), "a b/c d.jpg", "é ü 漢字.jpg", long, "../escape.jpg", "/etc/passwd")...),
			expect{dataset.Converted, 15, []errs.Code{"annotation-without-image", "name-changed", "name-unsafe", "photo-not-in-labels"}, "", true}},
		"é 漢 \x1b[31m" + long: {whole(ten...), expect{State: dataset.Converted, Photos: 10}},
	}
}

// outside are objects that no batch can hold.
var outside = map[string]errs.Code{
	"stray.jpg": "object-outside-batch", "annotations.json": "object-outside-batch", "../up.jpg": "name-unsafe", "./here.jpg": "name-unsafe",
	"/root.jpg": "name-unsafe", "rejected/mine/1.jpg": "name-unsafe", strings.Repeat("b", 500) + "/1.jpg": "name-unsafe",
}

func TestBadInput_endsWhereItsOwnerLooks(t *testing.T) {
	failed := &failures{}
	previous := slog.Default()
	slog.SetDefault(slog.New(failed))
	defer slog.SetDefault(previous)
	l, err := Start(t.Context(), Options{State: t.TempDir(), Schedule: "0 4 * * *", Policy: noTraining, Log: slog.New(failed)})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close(t.Context())

	batches, want := rotten(), map[string]expect{}
	for name, b := range batches {
		want[name] = b.want
		drop(t, l, name, b.files)
	}
	for name := range outside {
		put(t, l, name, photo(1))
	}
	photos := 0
	for _, e := range want {
		photos += e.Photos
	}
	s := await(t, l, func(s client.Snapshot) string {
		if d := cmp.Diff(want, told(t, l, s)); d != "" {
			return d
		}
		if d := cmp.Diff(outside, strays(s)); d != "" {
			return d
		}
		return settled(s, photos)
	})

	t.Run("what is told says what to do", func(t *testing.T) {
		for _, b := range s.Batches {
			for _, f := range b.Findings {
				if len(f.Message) < 20 || f.Count == 0 || len(f.Examples) == 0 {
					t.Errorf("%s: %+v", b.Batch, f)
				}
			}
		}
	})
	t.Run("what could be used is there", func(t *testing.T) { usable(t, l, s) })
	t.Run("again", func(t *testing.T) {
		for name, b := range batches {
			drop(t, l, name, b.files)
			for file := range b.files {
				deliver(t, l, "convert", l.Incoming, name+"/"+file)
			}
		}
		for _, v := range s.Versions {
			deliver(t, l, "validate", l.Datasets, dataset.VersionObject(v.ID, dataset.SummaryFile))
		}
		unchanged(t, l, s)
	})
	t.Run("events of what is gone", func(t *testing.T) {
		for _, name := range []string{"good/1.jpg", "good/annotations.json", "photo-missing/annotations.json"} {
			if err := l.Bucket(l.Incoming).Delete(t.Context(), name, blob.Any); err != nil {
				t.Fatal(err)
			}
			deliver(t, l, "convert", l.Incoming, name)
		}
		deliver(t, l, "validate", l.Datasets, dataset.VersionObject("feedfeedfeedfeed", dataset.SummaryFile))
		unchanged(t, l, s)
	})
	t.Run("late files and a mended batch", func(t *testing.T) {
		put(t, l, "good/late.jpg", photo(99))
		drop(t, l, "truncated", map[string][]byte{"3.jpg": photo(3)})
		await(t, l, func(s client.Snapshot) string {
			got := told(t, l, s)
			return cmp.Diff([]expect{{State: dataset.Converted, Photos: 10, Codes: []errs.Code{"photo-not-in-labels"}}, {State: dataset.Converted, Photos: 10}},
				[]expect{got["good"], got["truncated"]}) + settled(s, photos+1)
		})
	})
	if letters, err := l.Letters(t.Context(), bus.DeadLetters, client.Treatment{}); err != nil || len(letters) > 0 {
		t.Errorf("dead letters: %+v, %v", letters, err)
	}
	if again := failed.transient(); len(again) > 0 {
		t.Errorf("bad input was asked for again, and would end as dead letters:\n%s", strings.Join(again, "\n"))
	}
	alerted(t, l)
}

// told is what status and the rejected/ objects say of every batch.
func told(t *testing.T, l *Loop, s client.Snapshot) map[string]expect {
	all := map[string]expect{}
	for _, b := range s.Batches {
		e := expect{State: b.State, Photos: b.Counts.Photos, Waits: b.WaitsFor()}
		for _, f := range b.Findings {
			e.Codes = append(e.Codes, f.Code)
		}
		var beside dataset.BatchStatus
		_, err := blob.ReadJSON(t.Context(), l.Bucket(l.Incoming), dataset.RejectedObject(b.Batch), &beside)
		e.Beside = err == nil && cmp.Equal(beside.Findings, b.Findings)
		all[b.Batch] = e
	}
	return all
}

func strays(s client.Snapshot) map[string]errs.Code {
	all := map[string]errs.Code{}
	for _, o := range s.Strays {
		all[o.Object] = o.Code
	}
	return all
}

// settled tells what is missing until the newest version holds so many photos
// and has passed.
func settled(s client.Snapshot, photos int) string {
	if len(s.Versions) == 0 {
		return "no version"
	}
	v := s.Versions[len(s.Versions)-1]
	if v.Counts.Photos != photos || s.Current != v.ID || len(s.Refused) > 0 {
		return fmt.Sprintf("version %s of %d photos, not %d; current is %s; refused: %+v", v.ID, v.Counts.Photos, photos, s.Current, s.Refused)
	}
	return ""
}

// usable checks that every photo of the current version lies there whole.
func usable(t *testing.T, l *Loop, s client.Snapshot) {
	photos, err := dataset.Photos(t.Context(), l.Bucket(l.Datasets), s.Current)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range photos {
		data, err := dataset.OpenPhoto(t.Context(), l.Bucket(l.Datasets), p)
		if err != nil {
			t.Error(err)
		} else if _, err := jpeg.Decode(bytes.NewReader(data)); err != nil {
			t.Errorf("%s: %v", p.Path, err)
		}
	}
}

func unchanged(t *testing.T, l *Loop, before client.Snapshot) {
	t.Helper()
	now, err := l.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// A rejected batch that was dropped again was judged again: alike, but later.
	ignore := cmp.Options{cmpopts.IgnoreFields(dataset.BatchStatus{}, "Updated", "LabelsGeneration", "Newest"), cmpopts.IgnoreFields(dataset.LabelSource{}, "Generation")}
	if d := cmp.Diff(before.Batches, now.Batches, ignore) + cmp.Diff(before.Versions, now.Versions) + cmp.Diff(before.Strays, now.Strays); d != "" {
		t.Error(d)
	}
}

// alerted checks that people who read no status were told too.
func alerted(t *testing.T, l *Loop) {
	letters, err := l.Letters(t.Context(), bus.Alerts, client.Treatment{})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]bool{}
	for _, letter := range letters {
		var a event.AlertData
		if err := json.Unmarshal(letter.Data, &a); err != nil || a.Code == "" || a.Subject == "" || len(a.Message) < 20 {
			t.Errorf("%s, %v", letter.Data, err)
		}
		got[a.Code] = true
	}
	if d := cmp.Diff([]string{"batch-quarantined", "batch-rejected", "name-unsafe", "object-outside-batch"}, slices.Sorted(maps.Keys(got))); d != "" {
		t.Errorf("alerts: %s", d)
	}
}

// await polls until wrong finds nothing wrong.
func await(t *testing.T, l *Loop, wrong func(client.Snapshot) string) client.Snapshot {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	says := ""
	for {
		s, err := l.Snapshot(ctx)
		if err == nil {
			if says = wrong(s); says == "" {
				return s
			}
		} else if ctx.Err() == nil {
			t.Fatal(err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("the loop did not get there:\n%s", says)
		}
	}
}

// deliver sends the function an event that it may have had before, as Pub/Sub
// would, and wants it acknowledged.
func deliver(t *testing.T, l *Loop, function, bucket, object string) {
	t.Helper()
	generation := int64(1)
	if a, err := l.Bucket(bucket).Stat(t.Context(), object); err == nil {
		generation = a.Generation
	}
	body, err := json.Marshal(map[string]any{"subscription": "s", "message": map[string]any{"messageId": "1", "attributes": map[string]string{
		"eventType": "OBJECT_FINALIZE", "bucketId": bucket, "objectId": object, "objectGeneration": fmt.Sprint(generation)}}})
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, l.Functions+"/"+function, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if says, _ := io.ReadAll(res.Body); res.StatusCode >= 300 {
		t.Errorf("%s of %q: %s: %s", function, object, res.Status, says)
	}
}

func put(t *testing.T, l *Loop, name string, data []byte) {
	t.Helper()
	if _, err := l.Bucket(l.Incoming).Write(t.Context(), name, bytes.NewReader(data), blob.WriteOptions{IfGeneration: blob.Any}); err != nil {
		t.Fatal(err)
	}
}

// drop uploads as people's tools do: in any order.
func drop(t *testing.T, l *Loop, batch string, files map[string][]byte) {
	t.Helper()
	for name, data := range files {
		put(t, l, batch+"/"+name, data)
	}
}

// failures keeps what handlers asked the bus to deliver again.
type failures struct {
	mu  sync.Mutex
	all []string
}

func (*failures) Enabled(context.Context, slog.Level) bool { return true }
func (f *failures) WithAttrs([]slog.Attr) slog.Handler     { return f }
func (f *failures) WithGroup(string) slog.Handler          { return f }

func (f *failures) Handle(_ context.Context, r slog.Record) error {
	if r.Level != slog.LevelWarn || r.Message != "event failed" {
		return nil
	}
	var b strings.Builder
	if err := slog.NewTextHandler(&b, nil).Handle(context.Background(), r); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.all = append(f.all, b.String())
	return nil
}

func (f *failures) transient() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.all)
}

func numbered(n int) (names []string) {
	for i := range n {
		names = append(names, fmt.Sprintf("%d.jpg", i))
	}
	return names
}

// files are photos of their own and the labels, nil for none.
func files(labels []byte, names ...string) map[string][]byte {
	all := map[string][]byte{}
	for i, name := range names {
		all[name] = photo(i)
	}
	if labels != nil {
		all[dataset.LabelsFile] = labels
	}
	return all
}

const width, height = 96, 64

// photo is a small JPEG; equal seeds give equal bytes.
func photo(seed int) []byte {
	r := rand.New(rand.NewPCG(1, uint64(seed)))
	im := image.NewRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			im.Set(x, y, color.RGBA{uint8(r.IntN(60) + seed*20%180), uint8(r.IntN(200)), uint8(x + y), 255})
		}
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, im, nil); err != nil {
		panic(err)
	}
	return b.Bytes()
}

type annotation struct {
	ID       int `json:"id"`
	Image    int `json:"image_id"`
	Category int `json:"category_id"`
	Box      any `json:"bbox"`
}

func labels(photos ...string) []byte { return edited(photos, nil) }

// edited are COCO labels with two boxes a photo, of categories whose ids have
// gaps, after edit has changed them.
func edited(photos []string, edit func([]annotation) []annotation) []byte {
	images, annotations := []map[string]any{}, []annotation{}
	for i, name := range photos {
		images = append(images, map[string]any{"id": i, "file_name": name, "width": width, "height": height})
		for k := range 2 {
			annotations = append(annotations, annotation{2*i + k, i, 3 + 87*k, []any{4 + 20*k, 5, 16, 12}})
		}
	}
	if edit != nil {
		annotations = edit(annotations)
	}
	out, err := json.Marshal(map[string]any{"images": images, "annotations": annotations, "categories": []map[string]any{{"id": 3, "name": "can"}, {"id": 90, "name": "bottle"}}})
	if err != nil {
		panic(err)
	}
	return bytes.ReplaceAll(out, []byte(`"Infinity"`), []byte("Infinity")) // as Python writes it
}

func gaps(all []annotation) []annotation {
	all[0].Category = 4
	return all
}

func oddBoxes(all []annotation) []annotation {
	all = append(all, all...) // so that what is odd is few
	for i, box := range []any{[]any{-3, -3, 10, 10}, []any{90, 60, 30, 30}, []any{500, 500, 5, 5}, []any{5, 5, 0, 5}, []any{5, 5, 9}, []any{"Infinity", 0, 5, 5}} {
		all[i].Box = box
	}
	for i := range all {
		all[i].ID = i
	}
	return all
}

func elsewhere(all []annotation) []annotation {
	for i := range all {
		all[i].Box = []any{1000, 1000, 5, 5}
	}
	return all
}
