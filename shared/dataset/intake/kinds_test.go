package intake

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/blob/blobmem"
	"github.com/litterloop/litterloop/shared/dataset"
	"github.com/litterloop/litterloop/shared/errs"
)

// Six photos, two boxes on each but the last, as COCO labels name them.
func cocoFiles(images string) []object {
	var photos []labelled
	var out []object
	for i := range 6 {
		p := labelled{fmt.Sprintf("day %d/p%d.png", i%2, i), [][5]float64{{1, 4, 3, 20, 15}, {4, 10, 12, 8, 9}}}
		if i == 5 {
			p.boxes = nil
		}
		photos = append(photos, p)
		out = append(out, object{images + p.name, photo(i)})
	}
	return append(out, object{dataset.LabelsFile, labels(photos...)})
}

// The same as a YOLO directory.
func yoloFiles() []object {
	out := []object{{"data.yaml", []byte("path: /home/ann/set\ntrain: images/day 0\nval: [images/day 1]\nnames: {0: Can, 1: Cup}\n")}}
	for i := range 6 {
		name := fmt.Sprintf("day %d/p%d", i%2, i)
		out = append(out, object{"images/" + name + ".png", photo(i)})
		if i < 5 {
			out = append(out, object{"labels/" + name + ".txt", []byte("0 0.35 0.35 0.5 0.5\n1 0.35 0.55 0.2 0.3\n")})
		}
	}
	return out
}

func zipped(t testing.TB, files []object) []byte {
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for _, f := range files {
		w, err := z.Create(f.name)
		if err == nil {
			_, err = w.Write(f.data)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func tarred(t testing.TB, files []object, wrap func(io.Writer) io.WriteCloser) []byte {
	var out bytes.Buffer
	var w io.WriteCloser = nopCloser{&out}
	if wrap != nil {
		w = wrap(&out)
	}
	tw := tar.NewWriter(w)
	for _, f := range files {
		if err := tw.WriteHeader(&tar.Header{Name: f.name, Size: int64(len(f.data)), Mode: 0o644}); err != nil {
			t.Fatal(err)
		}
		if _, err := tw.Write(f.data); err != nil {
			t.Fatal(err)
		}
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

func gzipped(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) }

func zstandard(w io.Writer) io.WriteCloser {
	z, err := zstd.NewWriter(w)
	if err != nil {
		panic(err)
	}
	return z
}

func below(dir string, files []object) []object {
	out := slices.Clone(files)
	for i := range out {
		out[i].name = dir + out[i].name
	}
	return out
}

// pushed are files as `dvc push` and a copy of the .dvc file bring them.
func pushed(files []object) []object {
	var all []dataset.File
	var out []object
	total := int64(0)
	for _, f := range files {
		all = append(all, dataset.File{Path: f.name, MD5: dataset.MD5Hex(f.data)})
		out = append(out, object{dataset.ContentObject(dataset.MD5Hex(f.data)), f.data})
		total += int64(len(f.data))
	}
	dir := dataset.DirListing(all)
	out = append(out, object{dataset.ContentObject(dataset.MD5Hex(dir)) + ".dir", dir})
	return append(out, object{"set.dvc", dataset.DVCPointer(dataset.MD5Hex(dir), total, len(files), "set")})
}

// kinds are all the ways in which one data set may be dropped.
func kinds(t testing.TB) map[string][]object {
	coco, yolo := cocoFiles(""), yoloFiles()
	photos, labels := coco[:6], coco[6]
	return map[string][]object{
		"COCO":                             coco,
		"COCO with photos in images/":      cocoFiles("images/"),
		"YOLO, its marker last":            append(slices.Clone(yolo), object{dataset.MarkerFile, nil}),
		"zip of COCO":                      {{"all.zip", zipped(t, coco)}},
		"zip of COCO in a directory":       {{"all.ZIP", zipped(t, append(below("my set/", coco), object{"__MACOSX/my set/._x", []byte("x")}))}},
		"zip of YOLO":                      {{"all.zip", zipped(t, yolo)}},
		"tar of YOLO in a directory":       {{"all.tar", tarred(t, below("./set/", yolo), nil)}},
		"tar.gz of COCO":                   {{"all.tar.gz", tarred(t, coco, gzipped)}},
		"tgz of YOLO":                      {{"all.tgz", tarred(t, yolo, gzipped)}},
		"tar.zst of YOLO":                  {{"all.tar.zst", tarred(t, yolo, zstandard)}},
		"labels beside a zip of photos":    {{"photos.zip", zipped(t, photos)}, labels},
		"photos beside a zip of labels":    append([]object{{"labels.zip", zipped(t, coco[6:])}}, photos...),
		"two zips":                         {{"1.zip", zipped(t, photos[:3])}, {"2.zip", zipped(t, coco[3:])}},
		"COCO that was pushed by DVC":      pushed(coco),
		"YOLO that was pushed by DVC":      pushed(yolo),
		"YOLO in a directory, so pushed":   pushed(below("set/", yolo)),
		"YOLO with a photo that is beside": append([]object{{"set.zip", zipped(t, slices.Concat(yolo[:1], yolo[2:]))}}, yolo[1]),
	}
}

// content is what the newest version holds, without the names of its photos.
func (w *world) content() (classes []string, boxes map[string][]dataset.Box) {
	w.t.Helper()
	all, err := dataset.List(w.t.Context(), w.datasets)
	if err != nil || len(all) != 1 {
		w.t.Fatalf("%d versions, %v", len(all), err)
	}
	w.checkWhole(all[0])
	photos, err := dataset.Photos(w.t.Context(), w.datasets, all[0].ID)
	if err != nil {
		w.t.Fatal(err)
	}
	boxes = map[string][]dataset.Box{}
	for _, p := range photos {
		boxes[p.Path[strings.LastIndexByte(p.Path, '/')+1:]] = p.Boxes
		if !strings.Contains(p.Path, "/b/day ") {
			w.t.Errorf("a photo lies at %s", p.Path)
		}
	}
	return all[0].Classes, boxes
}

// The same photos and boxes, however they are dropped, in whatever order their
// events come, however often, and to however many processes: one version, the
// same.
func TestTake_everyKindInAnyOrder(t *testing.T) {
	same := cmp.Comparer(func(a, b float64) bool { return a-b < 1e-4 && b-a < 1e-4 })
	want := map[string][]dataset.Box{}
	for i := range 6 {
		if want[fmt.Sprintf("p%d.png", i)] = []dataset.Box{}; i < 5 {
			want[fmt.Sprintf("p%d.png", i)] = []dataset.Box{{Class: 0, X: 4, Y: 3, W: 20, H: 15}, {Class: 1, X: 10, Y: 12, W: 8, H: 9}}
		}
	}
	for name, objects := range kinds(t) {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(6) {
				rng := rand.New(rand.NewPCG(seed, 1))
				w := newWorld(t)
				ins := []*Intake{w.in, w.intake(w.incoming, w.datasets)}
				ins[0].partMembers, ins[1].partMembers = 4, 4
				events := slices.Clone(objects)
				if !strings.Contains(name, "marker") {
					rng.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
				}
				var wg sync.WaitGroup
				for _, o := range events {
					w.put("b/"+o.name, o.data)
					for range 1 + rng.IntN(2) {
						in := ins[rng.IntN(2)]
						wg.Go(func() {
							if _, err := in.Take(t.Context(), "b/"+o.name); err != nil {
								t.Error(err)
							}
						})
					}
				}
				wg.Wait()
				classes, boxes := w.content()
				if d := cmp.Diff(want, boxes, same) + cmp.Diff([]string{"Can", "Cup"}, classes); d != "" {
					t.Fatalf("seed %d: %s", seed, d)
				}
				s, err := dataset.Batches(t.Context(), w.datasets)
				if err != nil || len(s) != 1 || s[0].State != dataset.Converted || len(s[0].Findings) != 0 || s[0].Counts != (dataset.Counts{Photos: 6, Boxes: 10}) {
					t.Fatalf("seed %d: %+v %v", seed, s, err)
				}
			}
		})
	}
}

func TestTake_everyKindKilledAnywhere(t *testing.T) {
	for name, objects := range kinds(t) {
		t.Run(name, func(t *testing.T) { killedAnywhere(t, objects) })
	}
}

func TestTake_saysWhatLabelsLack(t *testing.T) {
	yolo := yoloFiles()
	dvc := pushed(yolo)
	tests := []struct {
		name    string
		objects []object
		want    string
	}{
		{"photos alone", yolo[1:2], "labels: b/annotations.json"},
		{"YOLO without its marker", yolo, "b/_complete: drop it when all of the YOLO labels are there"},
		{"a .dvc file alone", dvc[len(dvc)-1:], "what `dvc push` brings: b/" + dvc[len(dvc)-2].name},
		{"an archive of photos", []object{{"p.zip", zipped(t, cocoFiles("")[:6])}}, "labels: b/annotations.json"},
		{"labels of a photo that is not in the archive", []object{{"p.zip", zipped(t, slices.Concat(yolo[:1], yolo[2:]))}}, "1 of 6 photos: images/day 0/p0.*"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			for _, o := range tt.objects {
				w.drop("b/"+o.name, o.data)
			}
			all, err := dataset.Batches(t.Context(), w.datasets)
			if err != nil || len(all) != 1 || all[0].State != dataset.Waiting || all[0].WaitsFor() != tt.want {
				t.Errorf("%+v %v", all, err)
			}
		})
	}
}

// A corrected drop makes a new version, and photos that are in it already are
// neither stored nor looked at again.
func TestTake_correctedArchive(t *testing.T) {
	w := newWorld(t)
	var looked atomic.Int64
	w.in.o.Inspect = func(data []byte) dataset.Seen {
		looked.Add(1)
		return inspectPNG(data)
	}
	yolo := yoloFiles()
	first := w.drop("b/all.zip", zipped(t, yolo))
	before := w.objects()
	yolo[2].data = []byte("0 0.5 0.5 0.5 0.5\n")
	second := w.drop("b/all.zip", zipped(t, yolo))
	if first.State != dataset.Converted || second.State != dataset.Converted || first.Version == second.Version || second.Counts.Boxes != 9 || looked.Load() != 6 {
		t.Errorf("%d looked at: %+v, then %+v", looked.Load(), first, second)
	}
	if n := w.objects() - before; n > 12 {
		t.Errorf("one corrected label made %d objects", n)
	}
	if again := w.drop("b/all.zip", zipped(t, yolo)); again.Version != second.Version || looked.Load() != 6 {
		t.Errorf("the same again: %+v", again)
	}
	if _, err := dataset.Load(t.Context(), w.datasets, first.Version); err != nil {
		t.Error("the version before is gone: ", err)
	}
}

// inParts is a bucket of objects that were uploaded in parts, as large ones are:
// they have no MD5.
type inParts struct {
	*blobmem.Bucket
	opened atomic.Int64
}

func (c *inParts) Stat(ctx context.Context, name string) (blob.Attrs, error) {
	a, err := c.Bucket.Stat(ctx, name)
	a.MD5 = ""
	return a, err
}

func (c *inParts) Open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, blob.Attrs, error) {
	c.opened.Add(1)
	r, a, err := c.Bucket.Open(ctx, name, offset, length)
	a.MD5 = ""
	return r, a, err
}

// An archive that is dropped again as it was is neither read nor unpacked again,
// and one of other content is.
func TestTake_unchangedArchiveIsNotReadAgain(t *testing.T) {
	w := newWorld(t)
	incoming := &inParts{Bucket: w.incoming}
	w.in = w.intake(incoming, w.datasets)
	yolo := yoloFiles()
	same := zipped(t, yolo)
	first := w.drop("b/all.zip", same)
	reads, objects := incoming.opened.Load(), w.objects()
	if first.State != dataset.Converted || reads == 0 {
		t.Fatalf("%d reads: %+v", reads, first)
	}
	if again := w.drop("b/all.zip", same); again.Version != first.Version || incoming.opened.Load() != reads || w.objects() != objects {
		t.Errorf("%d reads more, %d objects more: %+v", incoming.opened.Load()-reads, w.objects()-objects, again)
	}
	yolo[2].data = []byte("0 0.5 0.5 0.5 0.5\n")
	if other := w.drop("b/all.zip", zipped(t, yolo)); other.Version == first.Version || incoming.opened.Load() == reads {
		t.Errorf("another archive was not read: %+v", other)
	}
}

func TestTake_correctedYOLODirectory(t *testing.T) {
	w := newWorld(t)
	for _, o := range yoloFiles() {
		w.drop("b/"+o.name, o.data)
	}
	first := w.drop("b/"+dataset.MarkerFile, nil)
	if s := w.drop("b/labels/day 0/p0.txt", []byte("1 0.5 0.5 0.5 0.5\n")); s.Version != first.Version {
		t.Errorf("a correction was taken up before it was complete: %+v", s)
	}
	if s := w.drop("b/"+dataset.MarkerFile, nil); s.State != dataset.Converted || s.Version == first.Version || s.Counts.Boxes != 9 {
		t.Errorf("got %+v", s)
	}
}

func TestTake_rejectsArchives(t *testing.T) {
	good := zipped(t, cocoFiles(""))
	bomb := zipped(t, []object{{"a.json", bytes.Repeat([]byte("[0,0,0,0]"), 20<<20)}, {dataset.LabelsFile, labels(labelled{"a.png", nil})}})
	tests := []struct {
		name, object string
		data         []byte
		code         errs.Code
	}{
		{"a zip cut short", "b/a.zip", good[:len(good)/2], "archive-unreadable"},
		{"no zip", "b/a.zip", []byte("no zip"), "archive-unreadable"},
		{"an empty file", "b/a.tar", nil, "archive-unreadable"},
		{"a tar.gz cut short", "b/a.tar.gz", tarred(t, cocoFiles(""), gzipped)[:900], "archive-unreadable"},
		{"no gzip", "b/a.tgz", good, "archive-unreadable"},
		{"a zip bomb", "b/a.zip", bomb, "archive-too-large"},
		{"data.yaml of nonsense", "b/a.zip", zipped(t, []object{{"data.yaml", []byte("names:\n  - a\n x")}}), "data-yaml-bad"},
		{"classes.yaml of nonsense", "b/a.zip", zipped(t, append(cocoFiles(""), object{"classes.yaml", []byte("merge: 1")})), "classes-yaml-bad"},
		{"no photo", "b/a.zip", zipped(t, []object{{"data.yaml", []byte("names: [a]")}}), "labels-empty"},
		{"a .dvc file of nonsense", "b/a.dvc", []byte("outs: 3"), "dvc-file-bad"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			s := w.drop(tt.object, tt.data)
			if s.State != dataset.Rejected || finding(s, tt.code).Count != 1 {
				t.Fatalf("got %+v", s)
			}
			if strings.HasSuffix(tt.object, ".zip") {
				if s := w.drop(tt.object, good); s.State != dataset.Converted {
					t.Errorf("mended: %+v", s)
				}
			}
		})
	}
}

func TestTake_classMap(t *testing.T) {
	w := newWorld(t)
	for _, o := range cocoFiles("")[:6] {
		w.drop("b/"+o.name, o.data)
	}
	labels := cocoFiles("")[6].data
	w.put("b/classes.yaml", []byte("names: [Litter]\nmerge: {Can: Litter}\n"))
	s := w.drop("b/"+dataset.LabelsFile, labels) // before the map's own event
	v, err := dataset.Load(t.Context(), w.datasets, s.Version)
	if err != nil || !slices.Equal(v.Classes, []string{"Litter", "Cup"}) || v.ClassMaps["b"] == nil || v.Counts.Boxes != 10 {
		t.Fatalf("%+v %+v %v", s, v, err)
	}
	if again := w.take("b/classes.yaml"); again.Version != s.Version {
		t.Errorf("the map's own event made another version: %+v", again)
	}
	s = w.drop("b/classes.yaml", []byte("drop: [Cup]\n"))
	v2, err := dataset.Load(t.Context(), w.datasets, s.Version)
	if err != nil || v2.ID == v.ID || !slices.Equal(v2.Classes, []string{"Litter", "Cup", "Can"}) || !slices.Equal(v2.PerClass, []int{0, 0, 5}) {
		t.Fatalf("a changed map: %+v %+v %v", s, v2, err)
	}
	if err := dataset.CheckID(t.Context(), w.datasets, v2); err != nil {
		t.Error(err)
	}
	s = w.drop("b/classes.yaml", []byte("names: [Cup]\n"))
	if s.State != dataset.Rejected || finding(s, dataset.ClassIDTaken).Count != 1 || s.Version != v2.ID {
		t.Errorf("an id was given to another class: %+v", s)
	}
	var head dataset.Head
	if _, err := blob.ReadJSON(t.Context(), w.datasets, dataset.HeadObject, &head); err != nil || head.Version.ID != v2.ID {
		t.Errorf("the head is %+v, %v", head.Version, err)
	}
}
