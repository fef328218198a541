package directory

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/litterloop/litterloop/shared/dataset"
	"github.com/litterloop/litterloop/shared/errs"
)

const shared = "../../../../shared/data"

type codes = map[errs.Code]int

func TestConvert_TACO(t *testing.T) {
	source := filepath.Join(shared, "taco/annotations.json")
	if _, err := os.Stat(source); err != nil {
		t.Skip("the real input is not on this machine: ", err)
	}
	out := t.TempDir()
	got, err := Convert(t.Context(), source, out, Options{Policy: dataset.DefaultPolicy()}) // the photos are not there
	if err != nil {
		t.Fatal(err)
	}
	got.Findings = nil
	want := Summary{
		Images: 1500, Boxes: 4784, Classes: 60, Splits: got.Splits,
		Clipped: codes{dataset.BoxNegativeOrigin: 7}, Quarantined: codes{}, Duplicates: codes{dataset.AnnotationDuplicate: 2}, LabelsOnly: true,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if n := got.Splits[dataset.Val].Photos; n != 300 {
		t.Errorf("%d held out", n)
	}
	lines, files := 0, 0
	err = filepath.WalkDir(filepath.Join(out, "labels"), func(name string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files++
		text, err := os.ReadFile(name)
		for line := range strings.Lines(string(text)) {
			lines++
			if strings.HasPrefix(line, "35 ") {
				t.Errorf("class 35 has a box: %s", name)
			}
		}
		return err
	})
	if err != nil || lines != 4784 || files != 1500 {
		t.Errorf("%d lines in %d files, %v", lines, files, err)
	}
}

func TestConvert_unofficialTACO(t *testing.T) {
	f, err := os.Open(filepath.Join(shared, "taco/annotations_unofficial.json.gz"))
	if err != nil {
		t.Skip("the real input is not on this machine: ", err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	labels, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "annotations.json"), labels, 0o666); err != nil {
		t.Fatal(err)
	}
	got, err := Convert(t.Context(), dir, filepath.Join(dir, "out"), Options{Policy: dataset.DefaultPolicy(), LabelsOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	got.Findings = nil
	want := Summary{
		Images: 3831, Boxes: 8334 - 15 - 8, Classes: 60, Splits: got.Splits,
		Clipped: codes{dataset.BoxNegativeOrigin: 13, dataset.BoxBeyondEdge: 6}, Quarantined: codes{dataset.BoxNotFinite: 15, dataset.BoxOutside: 8}, Duplicates: codes{}, LabelsOnly: true,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestConvert_photosBesideLabels(t *testing.T) {
	source := filepath.Join(shared, "exif_orientation")
	if _, err := os.Stat(source); err != nil {
		t.Skip("the real input is not on this machine: ", err)
	}
	dir := t.TempDir()
	photo, err := os.ReadFile(filepath.Join(source, "Landscape_6.jpg"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "turned.jpg"), photo, 0o666); err != nil {
		t.Fatal(err)
	}
	// The declared size is the one before turning; the box follows what is seen.
	labels := `{"images":[{"id":1,"file_name":"turned.jpg","width":1200,"height":1800},{"id":2,"file_name":"gone.jpg","width":1,"height":1}],
		"annotations":[{"id":1,"image_id":1,"category_id":1,"bbox":[1700,100,90,50]}],"categories":[{"id":1,"name":"sky"}]}`
	if err := os.WriteFile(filepath.Join(dir, "annotations.json"), []byte(labels), 0o666); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "out")
	got, err := Convert(t.Context(), dir, out, Options{Policy: dataset.DefaultPolicy()})
	if err != nil {
		t.Fatal(err)
	}
	if got.Images != 1 || got.Boxes != 1 || len(got.Clipped) != 0 || got.Quarantined[photoMissing] != 1 {
		t.Errorf("got %+v", got)
	}
	text, err := os.ReadFile(filepath.Join(out, "labels/train/turned.txt"))
	if err != nil || string(text) != "0 0.96944444 0.10416667 0.05 0.04166667\n" {
		t.Errorf("%q %v", text, err)
	}
	if placed, err := os.ReadFile(filepath.Join(out, "images/train/turned.jpg")); err != nil || !bytes.Equal(placed, photo) {
		t.Errorf("the photo is not in its place: %v", err)
	}
	if _, err := Convert(t.Context(), dir, out, Options{Policy: dataset.DefaultPolicy()}); err == nil {
		t.Error("a second run wrote into what is there")
	}
}

// synthetic writes COCO labels of a number of images and of annotations each.
func synthetic(b *testing.B, name string, images, each int) int64 {
	f, err := os.Create(name)
	if err != nil {
		b.Fatal(err)
	}
	w := bufio.NewWriterSize(f, 1<<20)
	w.WriteString(`{"images": [`)
	comma := func(i int) {
		if i > 0 {
			w.WriteString(", ")
		}
	}
	for i := range images {
		comma(i)
		fmt.Fprintf(w, `{"id": %d, "width": 1920, "height": 1080, "file_name": "batch_%d/%012d.jpg", "license": null, "date_captured": null}`, i, i%15, i)
	}
	w.WriteString(`], "annotations": [`)
	for i := range images * each {
		comma(i)
		x, y := float64(i*7919%18000)/10, float64(i*104729%9800)/10
		fmt.Fprintf(w, `{"id": %d, "image_id": %d, "category_id": %d, "bbox": [%.2f, %.2f, %.2f, %.2f], "area": %.4f, "iscrowd": 0, "segmentation": [[%.2f, %.2f, %.2f, %.2f, %.2f, %.2f, %.2f, %.2f]]}`,
			i, i/each, 1+i%60, x, y, 120.5, 99.25, 120.5*99.25, x, y, x+120.5, y, x+120.5, y+99.25, x, y+99.25)
	}
	w.WriteString(`], "categories": [`)
	for i := range 60 {
		comma(i)
		fmt.Fprintf(w, `{"id": %d, "name": "class %d"}`, i+1, i)
	}
	w.WriteString(`]}`)
	if err := w.Flush(); err != nil {
		b.Fatal(err)
	}
	info, err := f.Stat()
	if err != nil {
		b.Fatal(err)
	}
	return info.Size()
}

// Labels of 100,000 images and 900,000 annotations, to label files on disk.
func BenchmarkConvert(b *testing.B) {
	dir := b.TempDir()
	source := filepath.Join(dir, "annotations.json")
	b.SetBytes(synthetic(b, source, 100_000, 9))
	for i := 0; b.Loop(); i++ {
		s, err := Convert(b.Context(), source, filepath.Join(dir, fmt.Sprint("out", i)), Options{Policy: dataset.DefaultPolicy(), LabelsOnly: true})
		if err != nil || s.Images != 100_000 {
			b.Fatal(s.Images, err)
		}
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	b.ReportMetric(float64(m.Sys)/1e6, "MB-taken")
}
