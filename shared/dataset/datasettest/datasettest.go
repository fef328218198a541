// Package datasettest makes data set versions for tests, by the code that makes
// them from dropped batches.
package datasettest

import (
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/blob/blobmem"
	"github.com/litterloop/litterloop/shared/dataset"
	"github.com/litterloop/litterloop/shared/dataset/intake"
)

// Width and Height that every photo is said to have.
const Width, Height = 640, 480

// Photo is a labelled photo of a batch. Its content need not be a photo.
type Photo struct {
	Name    string
	Content string
	Boxes   []dataset.Box // Class is an index into the classes of the drop
}

// World is a pair of buckets, and what turns batches into versions.
type World struct {
	Datasets *blobmem.Bucket

	t        testing.TB
	incoming *blobmem.Bucket
	in       *intake.Intake
}

// New returns a world without versions.
func New(t testing.TB) *World {
	w := &World{t: t, Datasets: blobmem.New("datasets"), incoming: blobmem.New("incoming")}
	w.in = intake.New(w.incoming, w.Datasets, intake.Options{
		Policy: dataset.DefaultPolicy(), Log: slog.New(slog.DiscardHandler), Inspect: inspect,
		Now: func() time.Time { return time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC) },
	})
	return w
}

func inspect(data []byte) dataset.Seen {
	s := dataset.Seen{Size: int64(len(data))}
	s.MD5, s.Width, s.Height = dataset.MD5Hex(data), Width, Height
	return s
}

// Drop returns the version that holds the batch with these photos, in place of
// those it had.
func (w *World) Drop(batch string, classes []string, photos ...Photo) dataset.Version {
	w.t.Helper()
	type object = map[string]any
	var images, annotations, categories []object
	for i, c := range classes {
		categories = append(categories, object{"id": i, "name": c})
	}
	names := []string{}
	for i, p := range photos {
		images = append(images, object{"id": i, "file_name": p.Name, "width": Width, "height": Height})
		for _, b := range p.Boxes {
			annotations = append(annotations, object{"id": len(annotations), "image_id": i, "category_id": b.Class, "bbox": []float64{b.X, b.Y, b.W, b.H}})
		}
		w.put(batch+"/"+p.Name, p.Content)
		names = append(names, p.Name)
	}
	labels, err := json.Marshal(object{"images": images, "annotations": annotations, "categories": categories})
	if err != nil {
		w.t.Fatal(err)
	}
	w.put(batch+"/"+dataset.LabelsFile, string(labels))
	var s dataset.BatchStatus
	for _, name := range append(names, dataset.LabelsFile) {
		if s, err = w.in.Take(w.t.Context(), batch+"/"+name); err != nil {
			w.t.Fatal(err)
		}
	}
	if s.State != dataset.Converted {
		w.t.Fatalf("batch %q is %s: %+v", batch, s.State, s.Findings)
	}
	v, err := dataset.Load(w.t.Context(), w.Datasets, s.Version)
	if err != nil {
		w.t.Fatal(err)
	}
	return v
}

func (w *World) put(name, content string) {
	w.t.Helper()
	if _, err := w.incoming.Write(w.t.Context(), name, strings.NewReader(content), blob.WriteOptions{IfGeneration: blob.Any}); err != nil {
		w.t.Fatal(err)
	}
}

// Sample are four photos of a batch with boxes of the classes Can and Cup.
func Sample() (classes []string, photos []Photo) {
	return []string{"Can", "Cup"}, []Photo{
		{"a.jpg", "photo a", []dataset.Box{{Class: 0, X: 10, Y: 10, W: 20, H: 20}, {Class: 1, X: 100, Y: 100, W: 50, H: 50}}},
		{"b c/é.jpg", "photo b", []dataset.Box{{Class: 0, X: 200, Y: 200, W: 200, H: 100}}},
		{"d.png", "photo d", nil},
		{"e.jpg", "photo e", nil},
	}
}
