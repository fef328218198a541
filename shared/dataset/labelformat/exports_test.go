package labelformat_test

import (
	"context"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/litterloop/litterloop/shared/dataset"
	"github.com/litterloop/litterloop/shared/dataset/directory"
	"github.com/litterloop/litterloop/shared/dataset/labelformat"
	"github.com/litterloop/litterloop/shared/errs"
)

// dir is a tree on disk.
type dir string

func (d dir) Names() (names []string) {
	err := filepath.WalkDir(string(d), func(p string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			rel, _ := filepath.Rel(string(d), p)
			names = append(names, filepath.ToSlash(rel))
		}
		return err
	})
	if err != nil {
		panic(err)
	}
	return names
}

func (d dir) Open(_ context.Context, name string) (io.ReadCloser, error) {
	return os.Open(filepath.Join(string(d), filepath.FromSlash(name)))
}

// What annotation tools export is read as it is: which photos, which boxes, and
// where each photo's file is.
func TestRead_exports(t *testing.T) {
	can := dataset.Box{Class: 0, X: 4, Y: 3, W: 20, H: 15}
	cup := dataset.Box{Class: 1, X: 10, Y: 12, W: 8, H: 9}
	tests := []struct {
		dir  string
		kind labelformat.Kind
		want map[string][]dataset.Box // by the file of each photo
	}{
		{"cvat-coco", labelformat.COCO, map[string][]dataset.Box{
			"images/Train/sub/shot 0.jpg": {can}, "images/Train/shot 1.jpg": {can, cup}, "images/Validation/shot 2.jpg": {can}}},
		{"cvat-yolo", labelformat.Darknet, map[string][]dataset.Box{
			"obj_train_data/sub/shot 0.jpg": {can}, "obj_train_data/shot 1.jpg": {can}, "obj_valid_data/shot 2.jpg": {can}}},
		{"cvat-ultralytics", labelformat.YOLO, map[string][]dataset.Box{
			"images/train/sub/shot 0.jpg": {can}, "images/train/shot 1.jpg": {can}, "images/val/shot 2.jpg": {can}}},
		{"label-studio-coco", labelformat.COCO, map[string][]dataset.Box{
			"images/0a1b2c3d-shot 0.png": {can, cup}, "images/4e5f6a7b-shot1.png": nil}},
		{"label-studio-coco-addresses", labelformat.COCO, map[string][]dataset.Box{
			"images/0a1b2c3d-shot 0.png": {can, cup}, "images/4e5f6a7b-shot1.png": nil}},
		{"label-studio-yolo", labelformat.ClassNames, map[string][]dataset.Box{
			"images/0a1b2c3d-shot 0.png": {can, cup}, "images/4e5f6a7b-shot1.png": nil}},
	}
	for _, tt := range tests {
		t.Run(tt.dir, func(t *testing.T) {
			source := dir(filepath.Join("testdata", tt.dir))
			if kind, _, ok := labelformat.Find(source.Names()); !ok || kind != tt.kind {
				t.Fatalf("taken for %q", kind)
			}
			l, err := labelformat.Read(t.Context(), source, dataset.DefaultPolicy())
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff([]string{"Can", "Cup"}, l.Classes); d != "" || len(l.Findings) > 0 {
				t.Error(d, l.Findings)
			}
			got, finder := map[string][]dataset.Box{}, l.Finder()
			for _, file := range source.Names() {
				key, _, ok := finder.Find(file)
				if !ok {
					continue
				}
				at := slices.IndexFunc(l.Photos, func(p dataset.LabelledPhoto) bool { return p.Key() == key })
				for _, b := range l.Photos[at].Boxes {
					if l.Photos[at].Shares {
						b.X, b.Y, b.W, b.H = b.X*40, b.Y*30, b.W*40, b.H*30
					}
					got[file] = append(got[file], b)
				}
				if len(l.Photos[at].Boxes) == 0 {
					got[file] = nil
				}
			}
			if d := cmp.Diff(tt.want, got, cmpopts.EquateApprox(0, 1e-4)); d != "" {
				t.Error(d)
			}
			boxes := 0
			for _, b := range tt.want {
				boxes += len(b)
			}
			s, err := directory.Convert(t.Context(), string(source), filepath.Join(t.TempDir(), "out"), directory.Options{Policy: dataset.DefaultPolicy()})
			if err != nil || s.Images != len(tt.want) || s.Boxes != boxes || len(s.Findings) > 0 {
				t.Errorf("converted: %+v %v", s, err)
			}
		})
	}
}

// memory is a tree in memory.
type memory map[string]string

func (m memory) Names() (names []string) {
	for n := range m {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

func (m memory) Open(_ context.Context, name string) (io.ReadCloser, error) {
	return io.NopCloser(newReader(m[name])), nil
}

func TestRead_yolo(t *testing.T) {
	row := "0 0.5 0.5 0.2 0.2\n"
	tests := []struct {
		name  string
		files memory
		want  []string // photos, with the number of their boxes
		found map[errs.Code]int
	}{
		{"names as a list, labels mirrored", memory{"data.yaml": "train: images\nnames: [a]", "images/x.jpg": "", "labels/x.txt": row}, []string{"images/x.jpg 1"}, nil},
		{"photos without labels", memory{"data.yaml": "names: [a]", "images/x.jpg": "", "images/y.jpg": "", "labels/x.txt": ""}, []string{"images/x.jpg 0", "images/y.jpg 0"}, nil},
		{"images and labels in each split's directory", memory{"data.yaml": "train: ../train/images\nval: ../valid/images\nnames: [a]", "train/images/x.jpg": "", "train/labels/x.txt": row, "valid/images/x.jpg": "", "valid/labels/x.txt": row},
			[]string{"train/images/x.jpg 1", "valid/images/x.jpg 1"}, nil},
		{"labels beside their photos", memory{"classes.txt": "a\r\nb\r\n\r\n", "x.JPG": "", "x.txt": row, "d/y.png": "", "d/y.txt": row}, []string{"d/y.png 1", "x.JPG 1"}, nil},
		{"paths of another machine", memory{"data.yaml": "path: C:\\sets\\litter\ntrain: C:\\sets\\litter\\images\\train\nval: /home/ann/litter/images/val\nnames: [a]", "images/train/x.jpg": "", "images/val/y.jpg": "", "images/rest/z.jpg": ""},
			[]string{"images/train/x.jpg 0", "images/val/y.jpg 0"}, nil},
		{"paths that lead nowhere", memory{"data.yaml": "train: elsewhere\nnames: [a]", "images/train/x.jpg": ""}, []string{"images/train/x.jpg 0"}, nil},
		{"a list with a photo that is yet to come", memory{"data.yaml": "train: train.txt\nnames: [a]", "train.txt": "data/images/x.jpg\ndata/images/y.jpg\n\n", "images/x.jpg": "", "images/z.jpg": "", "labels/x.txt": row},
			[]string{"images/x.jpg 1", "images/y.jpg 0"}, nil},
		{"a list that leads out", memory{"data.yaml": "train: train.txt\nnames: [a]", "train.txt": "./images/x.jpg\n../../etc/passwd\n/etc/y.jpg\n", "images/x.jpg": ""},
			[]string{"images/x.jpg 0"}, map[errs.Code]int{dataset.NameUnsafe: 2}},
		{"labels of a photo that is yet to come", memory{"data.yaml": "names: [a]", "images/x.jpg": "", "labels/y.txt": row}, []string{"images/x.jpg 0", "images/y.* 1"}, nil},
		{"texts that are no labels", memory{"data.yaml": "names: [a]", "images/x.jpg": "", "README.txt": "read me", "requirements.txt": "x"}, []string{"images/x.jpg 0"}, nil},
		{"one label file for two photos", memory{"data.yaml": "names: [a]", "images/x.jpg": "", "images/x.png": "", "labels/x.txt": row}, []string{"images/x.jpg 1", "images/x.png 1"}, map[errs.Code]int{dataset.LabelFileShared: 1}},
		{"rows that are none", memory{"data.yaml": "nc: 1\nnames: [a]", "images/x.jpg": "", "labels/x.txt": row + "\n0 1 2\nx 1 1 1 1\n0 nan 0.5 0.1 0.1\n0 0.5 0.5 0 0.1\n7 0.5 0.5 0.1 0.1\n0.5 0.5 0.5 0.5 0.5\n-1 0.5 0.5 0.1 0.1\n"},
			[]string{"images/x.jpg 1"}, map[errs.Code]int{dataset.LabelRowBad: 4, dataset.BoxNotFinite: 1, dataset.BoxEmpty: 1, dataset.CategoryUnknown: 1}},
		{"a label file that is no text", memory{"data.yaml": "names: [a]", "images/x.jpg": "", "labels/x.txt": "\xff\xfe0\x00"}, []string{"images/x.jpg 0"}, map[errs.Code]int{dataset.LabelFileBad: 1}},
		{"classes without names, and with one name", memory{"data.yaml": "nc: 3\nnames: {0: a, 2: a}", "images/x.jpg": "", "labels/x.txt": "0 .5 .5 .1 .1\n1 .5 .5 .1 .1\n2 .5 .5 .1 .1\n"},
			[]string{"images/x.jpg 3"}, map[errs.Code]int{dataset.CategoryNameless: 1, dataset.CategoryDuplicate: 1}},
		{"label names as in an address", memory{"classes.txt": "a", "images/x y.jpg": "", "labels/x%20y.txt": row}, []string{"images/x y.jpg 1"}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l, err := labelformat.Read(t.Context(), tt.files, dataset.DefaultPolicy())
			if err != nil {
				t.Fatal(err)
			}
			checkLabels(t, l, tt.want, tt.found)
		})
	}
}

func TestRead_coco(t *testing.T) {
	file := func(names ...string) string { return cocoText(names...) }
	tests := []struct {
		name  string
		files memory
		want  []string
		found map[errs.Code]int
	}{
		{"annotations.json goes before all else", memory{"annotations.json": file("a.jpg"), "result.json": file("b.jpg"), "data.yaml": "names: [a]", "c.jpg": ""}, []string{"a.jpg 1"}, nil},
		{"backslashes", memory{"result.json": file(`images\\a.jpg`)}, []string{"images/a.jpg 1"}, nil},
		{"addresses of cloud storage", memory{"result.json": file("gs://bucket/dir/a.jpg", "s3://b/c%20d.jpg")}, []string{"a.jpg 1", "c d.jpg 1"}, nil},
		{"local files", memory{"result.json": file("/data/local-files/?d=set/a%20b.jpg")}, []string{"a b.jpg 1"}, nil},
		{"one name in two subsets", memory{"annotations/instances_train.json": file("a.jpg", "b.jpg"), "annotations/instances_val.json": file("a.jpg")}, []string{"b.jpg 1", "train/a.jpg 1", "val/a.jpg 1"}, nil},
		{"an empty subset", memory{"annotations/instances_train.json": file("a.jpg"), "annotations/instances_test.json": file()}, []string{"a.jpg 1"}, nil},
		{"captions are no labels", memory{"annotations/instances_val.json": file("a.jpg"), "annotations/captions_val.json": "x"}, []string{"a.jpg 1"}, nil},
		{"names that leave", memory{"annotations.json": file("a.jpg", "../b.jpg", "/etc/passwd")}, []string{"a.jpg 1"}, map[errs.Code]int{dataset.NameUnsafe: 2, dataset.ImageUnknown: 2}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l, err := labelformat.Read(t.Context(), tt.files, dataset.DefaultPolicy())
			if err != nil {
				t.Fatal(err)
			}
			checkLabels(t, l, tt.want, tt.found)
		})
	}
}

func TestRead_refuses(t *testing.T) {
	small := dataset.DefaultPolicy()
	small.MaxImages, small.MaxAnnotations = 1, 1
	tests := []struct {
		name   string
		files  memory
		policy dataset.Policy
		want   errs.Code
	}{
		{"no labels", memory{"a.jpg": ""}, small, labelformat.CodeMissing},
		{"no names", memory{"data.yaml": "train: x", "a.jpg": ""}, small, "data-yaml-bad"},
		{"no photos", memory{"data.yaml": "names: [a]"}, small, "labels-empty"},
		{"too many photos", memory{"data.yaml": "names: [a]", "a.jpg": "", "b.jpg": ""}, small, "labels-too-large"},
		{"too many boxes", memory{"data.yaml": "names: [a]", "a.jpg": "", "a.txt": "0 1 1 1 1\n0 1 1 1 1"}, small, "labels-too-large"},
		{"a faulty class map", memory{"annotations.json": cocoText("a.jpg"), "classes.yaml": "merge: {a: [b]}"}, small, dataset.ClassMapBad},
		{"a huge data.yaml", memory{"data.yaml": string(make([]byte, 5<<20)), "a.jpg": ""}, small, labelformat.CodeTextLarge},
		{"no COCO", memory{"result.json": "[]"}, small, "labels-not-coco"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := labelformat.Read(t.Context(), tt.files, tt.policy)
			if code, _ := errs.Reason(err); code != tt.want {
				t.Errorf("got %v", err)
			}
		})
	}
}
