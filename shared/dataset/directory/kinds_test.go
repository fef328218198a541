package directory_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/litterloop/litterloop/shared/dataset"
	"github.com/litterloop/litterloop/shared/dataset/directory"
	"github.com/litterloop/litterloop/shared/errs"
)

type files map[string][]byte

func (f files) names() (names []string) {
	for n := range f {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

func (f files) below(dir string) files {
	out := files{}
	for n, data := range f {
		out[dir+n] = data
	}
	return out
}

func (f files) write(t *testing.T, dir string) {
	t.Helper()
	for name, data := range f {
		name = filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, data, 0o666); err != nil {
			t.Fatal(err)
		}
	}
}

func (f files) zip(t *testing.T) []byte {
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for _, n := range f.names() {
		w, err := z.Create(n)
		if err == nil {
			_, err = w.Write(f[n])
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

func (f files) tarGzip(t *testing.T) []byte {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	w := tar.NewWriter(z)
	for _, n := range f.names() {
		if err := w.WriteHeader(&tar.Header{Name: n, Size: int64(len(f[n])), Mode: 0o644}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(f[n]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// pushed is what `dvc push` and a copy of the .dvc file leave.
func (f files) pushed() files {
	out := files{}
	var all []dataset.File
	for n, data := range f {
		md5 := dataset.MD5Hex(data)
		all = append(all, dataset.File{Path: n, MD5: md5})
		out[dataset.ContentObject(md5)] = data
	}
	dir := dataset.DirListing(all)
	out[dataset.ContentObject(dataset.MD5Hex(dir))+".dir"] = dir
	out["set.dvc"] = dataset.DVCPointer(dataset.MD5Hex(dir), 0, len(f), "set")
	return out
}

// sets are one data set, labelled in COCO and in YOLO.
func sets(t *testing.T) (coco, yolo files) {
	coco, yolo = files{}, files{"data.yaml": []byte("train: images\nnames: [Can]\n")}
	type m = map[string]any
	images, annotations := []m{}, []m{}
	for i := range 5 {
		name := fmt.Sprintf("d %d/p%d.png", i%2, i)
		data := picture(t, i+1, name)
		coco[name], yolo["images/"+name] = data, data
		images = append(images, m{"id": i, "file_name": name})
		if i < 4 {
			annotations = append(annotations, m{"id": i, "image_id": i, "category_id": 1, "bbox": []float64{4, 3, 20, 15}})
			yolo["labels/"+strings.TrimSuffix(name, ".png")+".txt"] = []byte("0 0.35 0.35 0.5 0.5\n")
		}
	}
	text, err := json.Marshal(m{"images": images, "annotations": annotations, "categories": []m{{"id": 1, "name": "Can"}}})
	if err != nil {
		t.Fatal(err)
	}
	coco[dataset.LabelsFile] = text
	return coco, yolo
}

// made is everything in a directory.
func made(t *testing.T, dir string) map[string]string {
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			data, err := os.ReadFile(p)
			rel, _ := filepath.Rel(dir, p)
			out[filepath.ToSlash(rel)] = string(data)
			return err
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// One data set in every form that labels come in gives the same files, byte for
// byte, and leaves nothing beside them.
func TestConvert_everyKind(t *testing.T) {
	coco, yolo := sets(t)
	type m = files
	inputs := map[string]struct {
		put    files
		source string
	}{
		"a directory of COCO":             {coco.below("in/"), "in"},
		"a COCO file":                     {coco.below("in/"), "in/annotations.json"},
		"a COCO file of another name":     {files{"in/mine.json": coco[dataset.LabelsFile]}, "in/mine.json"},
		"a directory of YOLO":             {yolo.below("in/"), "in"},
		"its data.yaml":                   {yolo.below("in/"), "in/data.yaml"},
		"a directory with one inside":     {yolo.below("in/deeper/"), "in"},
		"a zip of COCO":                   {m{"a.zip": coco.zip(t)}, "a.zip"},
		"a zip of a directory of YOLO":    {m{"a.zip": yolo.below("my set/").zip(t)}, "a.zip"},
		"a tar.gz of YOLO":                {m{"a.tar.gz": yolo.tarGzip(t)}, "a.tar.gz"},
		"COCO as DVC pushes it":           {coco.pushed().below("in/"), "in"},
		"YOLO as DVC pushes it":           {yolo.pushed().below("in/"), "in"},
		"Label Studio's COCO with images": {files{"in/result.json": coco[dataset.LabelsFile]}, "in"},
	}
	var want map[string]string
	for _, name := range slices.Sorted(func(yield func(string) bool) {
		for n := range inputs {
			if !yield(n) {
				return
			}
		}
	}) {
		in := inputs[name]
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			in.put.write(t, dir)
			switch { // these name photos that lie elsewhere
			case strings.Contains(name, "another name"):
				withoutLabels(coco).below("in/").write(t, dir)
			case strings.Contains(name, "Label Studio"):
				withoutLabels(coco).below("in/images/").write(t, dir)
			}
			out := filepath.Join(dir, "made", "out")
			if err := os.MkdirAll(filepath.Join(dir, "made", ".out.partial", "made", "images"), 0o777); err != nil { // as left by a run that was killed
				t.Fatal(err)
			}
			s, err := directory.Convert(t.Context(), filepath.Join(dir, filepath.FromSlash(in.source)), out, directory.Options{Policy: dataset.DefaultPolicy()})
			if err != nil {
				t.Fatal(err)
			}
			if s.Images != 5 || s.Boxes != 4 || s.Classes != 1 || s.LabelsOnly || len(s.Findings) > 0 {
				t.Errorf("got %+v", s)
			}
			got := made(t, filepath.Join(dir, "made"))
			if want == nil {
				want = got
			}
			if d := cmp.Diff(want, got); d != "" || len(got) != 11 {
				t.Errorf("%d files: %.2000s", len(got), d)
			}
		})
	}
}

func withoutLabels(f files) files {
	out := files{}
	for n, data := range f {
		if n != dataset.LabelsFile {
			out[n] = data
		}
	}
	return out
}

// A conversion that fails or is stopped leaves nothing.
func TestConvert_failedLeavesNothing(t *testing.T) {
	_, yolo := sets(t)
	bad := files{"a.zip": yolo.zip(t)[:500], "b.json": []byte("["), "c/readme.txt": nil, "d/x.dvc": []byte("outs: 1"), "e/data.yaml": []byte("nc: x"), "f.rar": nil}
	for source, code := range map[string]errs.Code{
		"a.zip": "archive-unreadable", "b.json": "labels-not-coco", "c": "labels-missing", "d": "dvc-file-bad", "e": "data-yaml-bad", "gone": "", "f.rar": "labels-not-json",
	} {
		t.Run(source, func(t *testing.T) {
			dir := t.TempDir()
			bad.write(t, dir)
			_, err := directory.Convert(t.Context(), filepath.Join(dir, source), filepath.Join(dir, "made", "out"), directory.Options{Policy: dataset.DefaultPolicy()})
			if got, _ := errs.Reason(err); err == nil || got != code {
				t.Errorf("got %v", err)
			}
			if left := made(t, filepath.Join(dir, "made")); len(left) > 0 {
				t.Errorf("left %v", left)
			}
		})
	}
}
