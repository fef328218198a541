package files_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/litterloop/litterloop/shared/dataset"
	"github.com/litterloop/litterloop/shared/drawing"
	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/training/files"
)

// put writes files below a new directory.
func put(t *testing.T, contents map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	for name, data := range contents {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func photo(t *testing.T) drawing.Photo {
	t.Helper()
	photos, err := drawing.Set(1, 1, drawing.Day)
	if err != nil {
		t.Fatal(err)
	}
	return photos[0]
}

func coco(t *testing.T, names ...string) []byte {
	t.Helper()
	var images, annotations []map[string]any
	for i, n := range names {
		images = append(images, map[string]any{"id": i, "file_name": n})
		annotations = append(annotations, map[string]any{"id": i, "image_id": i, "category_id": 7, "bbox": []float64{-5, 10, 25, 30}})
	}
	text, err := json.Marshal(map[string]any{"images": images, "annotations": annotations, "categories": []map[string]any{{"id": 7, "name": "can"}}})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestRead_COCOandYOLOsayTheSame(t *testing.T) {
	p := photo(t)
	w, h := float64(p.W), float64(p.H)
	line, err := json.Marshal([]float64{0, 10 / w, 25 / h, 20 / w, 30 / h})
	if err != nil {
		t.Fatal(err)
	}
	yolo := strings.NewReplacer("[", "", "]", "", ",", " ").Replace(string(line))
	for name, dir := range map[string]string{
		"COCO": put(t, map[string][]byte{"annotations.json": coco(t, "sub/a.jpg"), "sub/a.jpg": p.JPEG}),
		"YOLO": put(t, map[string][]byte{"data.yaml": []byte("train: images\nval: images\nnames: [can]\n"), "images/a.jpg": p.JPEG, "labels/a.txt": []byte(yolo)}),
	} {
		t.Run(name, func(t *testing.T) {
			s, err := files.Read(t.Context(), dir, dataset.ClassMap{})
			if err != nil {
				t.Fatal(err)
			}
			if len(s.Photos) != 1 || len(s.Photos[0].Boxes) != 1 || !cmp.Equal(s.Classes, []string{"can"}) {
				t.Fatalf("%+v", s)
			}
			b, want := s.Photos[0].Boxes[0], dataset.Box{X: 0, Y: 10, W: 20, H: 30}
			for _, d := range []float64{b.X - want.X, b.Y - want.Y, b.W - want.W, b.H - want.H} {
				if d > 1e-3 || d < -1e-3 {
					t.Fatalf("box %+v, want %+v: cut at the photo's edge", b, want)
				}
			}
			data, err := s.Photos[0].Load(t.Context())
			if err != nil || len(data) != len(p.JPEG) {
				t.Errorf("loaded %d bytes, %v", len(data), err)
			}
		})
	}
}

func TestSplit_byTheNamesOfAList(t *testing.T) {
	p := photo(t)
	s, err := files.Read(t.Context(), put(t, map[string][]byte{"annotations.json": coco(t, "b1/x.jpg", "b2/x.jpg", "b2/y.jpg"), "b1/x.jpg": p.JPEG, "b2/x.jpg": p.JPEG, "b2/y.jpg": p.JPEG}), dataset.ClassMap{})
	if err != nil {
		t.Fatal(err)
	}
	list := filepath.Join(t.TempDir(), "val.txt")
	for text, want := range map[string]string{"b2/x.jpg\n\nb2/y.jpg\n": "b1/x.jpg | b2/x.jpg b2/y.jpg", "b1/x.jpg": "b2/x.jpg b2/y.jpg | b1/x.jpg"} {
		if err := os.WriteFile(list, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		train, val, err := s.Split(list)
		if err != nil {
			t.Fatal(err)
		}
		names := func(ps []files.Photo) string {
			var n []string
			for _, p := range ps {
				n = append(n, p.Name)
			}
			return strings.Join(n, " ")
		}
		if got := names(train) + " | " + names(val); got != want {
			t.Errorf("%q divides into %s, want %s", text, got, want)
		}
	}
	if err := os.WriteFile(list, []byte("b3/x.jpg"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, _, err = s.Split(list)
	if code, _ := errs.Reason(err); code != files.HeldOutUnknown {
		t.Errorf("a list of unknown photos: %v", err)
	}
}

func TestRead_missingPhotos(t *testing.T) {
	p := photo(t)
	_, err := files.Read(t.Context(), put(t, map[string][]byte{"annotations.json": coco(t, "a.jpg", "gone.jpg"), "a.jpg": p.JPEG}), dataset.ClassMap{})
	if code, _ := errs.Reason(err); code != files.PhotoMissing || !strings.Contains(err.Error(), "gone.jpg") {
		t.Errorf("labels of a photo that is not there: %v", err)
	}
	dir := put(t, map[string][]byte{"annotations.json": coco(t, "a.jpg"), "a.jpg": p.JPEG})
	s, err := files.Read(t.Context(), dir, dataset.ClassMap{})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "a.jpg")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Photos[0].Load(t.Context()); err == nil || !strings.Contains(err.Error(), "is gone") {
		t.Errorf("a photo gone since: %v", err)
	}
	if _, err := files.Read(t.Context(), t.TempDir(), dataset.ClassMap{}); err == nil {
		t.Error("an empty directory was taken")
	}
}

func TestRead_classMapTakesThePlaceOfTheDirectorysOwn(t *testing.T) {
	p := photo(t)
	dir := put(t, map[string][]byte{"annotations.json": coco(t, "a.jpg"), "a.jpg": p.JPEG, "classes.yaml": []byte("merge: {can: metal}\n")})
	for name, c := range map[string]struct {
		given dataset.ClassMap
		want  []string
	}{
		"none":    {dataset.ClassMap{}, []string{"metal"}},
		"another": {dataset.ClassMap{Names: []string{"bottle", "drink"}, Merge: map[string]string{"can": "drink"}}, []string{"bottle", "drink"}},
	} {
		s, err := files.Read(t.Context(), dir, c.given)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(c.want, s.Classes); d != "" || s.Photos[0].Boxes[0].Class != len(c.want)-1 {
			t.Errorf("%s: box of class %d, classes (-want +got):\n%s", name, s.Photos[0].Boxes[0].Class, d)
		}
	}
}
