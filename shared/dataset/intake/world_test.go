package intake

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"log/slog"
	"strings"
	"testing"
	"time"

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

func (w *world) objects() (n int) {
	for range w.datasets.List(w.t.Context(), "") {
		n++
	}
	return n
}
