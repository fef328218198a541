package coco

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/litterloop/litterloop/shared/errs"
)

func TestRead(t *testing.T) {
	tests := []struct {
		name, in string
		want     File
	}{
		{"a box", `{"images":[{"id":1,"file_name":"a.jpg","width":10,"height":20}],"annotations":[{"id":5,"image_id":1,"category_id":3,"bbox":[1,2.5,-3e0,4],"iscrowd":0}],"categories":[{"id":3,"name":"Can"}]}`,
			File{[]Image{{1, "a.jpg", 10, 20}}, []Annotation{{5, 1, 3, [4]float64{1, 2.5, -3, 4}, true, false}}, []Category{{3, "Can"}}}},
		{"annotations before images, byte order mark, unknown keys", "\xef\xbb\xbf" + ` { "x" : [[{}],{"y":[]}], "annotations" : [ ] , "images" : [ ] } ` + "\n", File{}},
		{"literals that Python writes", `{"images":[],"annotations":[{"id":1,"bbox":[NaN,Infinity,-Infinity,1e999]}]}`,
			File{Annotations: []Annotation{{1, NoID, NoID, [4]float64{math.NaN(), math.Inf(1), math.Inf(-1), math.Inf(1)}, true, false}}}},
		{"ids as text", `{"images":[{"id":"a"},{"id":"12"}],"annotations":[{"id":"b","image_id":"a"},{"id":null,"image_id":12}]}`,
			File{Images: []Image{{ID: textID([]byte("a"))}, {ID: 12}}, Annotations: []Annotation{{ID: textID([]byte("b")), Image: textID([]byte("a")), Category: NoID}, {ID: NoID, Image: 12, Category: NoID}}}},
		{"ids that are none", `{"images":[{"id":1.5,"width":"30","height":-4},{"id":2.0,"width":null},{"id":[1]},7],"annotations":[]}`,
			File{Images: []Image{{ID: NoID, Width: 30}, {ID: 2}, {ID: NoID}}}},
		{"polygons without a box", `{"images":[],"annotations":[{"segmentation":[[10,20,30,20,30,40.5],[5,25,6,26,7,27]]}]}`,
			File{Annotations: []Annotation{{NoID, NoID, NoID, [4]float64{5, 20, 25, 20.5}, true, false}}}},
		{"a box after polygons", `{"images":[],"annotations":[{"segmentation":[[10,20,30,20,30,40.5]],"bbox":[1,2,3,4]}]}`,
			File{Annotations: []Annotation{{NoID, NoID, NoID, [4]float64{1, 2, 3, 4}, true, false}}}},
		{"run lengths, null and text for a box", `{"images":[],"annotations":[{"segmentation":{"counts":[1,2],"size":[3,4]},"iscrowd":1},{"segmentation":null,"iscrowd":true},{"bbox":[1,2,3]},{"bbox":"no"},{"bbox":[1,2,"3",4]}]}`,
			File{Annotations: []Annotation{{ID: NoID, Image: NoID, Category: NoID, Crowd: true}, {ID: NoID, Image: NoID, Category: NoID, Crowd: true}, {ID: NoID, Image: NoID, Category: NoID, Box: [4]float64{1, 2, 3}}, {ID: NoID, Image: NoID, Category: NoID}, {ID: NoID, Image: NoID, Category: NoID, Box: [4]float64{1, 2, 0, 4}}}}},
		{"escapes", `{"images":[{"file_name":"\u00fc\ud83d\ude00\n\/\\\"\ud800x ü😀"}],"annotations":[]}`,
			File{Images: []Image{{ID: NoID, FileName: "ü😀\n/\\\"\ufffdx ü😀"}}}},
	}
	same := []cmp.Option{cmpopts.EquateEmpty(), cmpopts.EquateNaNs()}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Read(strings.NewReader(tt.in), Limits{})
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(&tt.want, got, same...); d != "" {
				t.Error(d)
			}
			bytewise, err := Read(iotest.OneByteReader(strings.NewReader(tt.in)), Limits{})
			if err != nil {
				t.Fatal("byte by byte:", err)
			}
			if d := cmp.Diff(got, bytewise, same...); d != "" {
				t.Error("byte by byte:", d)
			}
		})
	}
}

func TestRead_refuses(t *testing.T) {
	tests := []struct {
		name, in string
		code     errs.Code
		says     string
	}{
		{"nothing", "", "labels-not-json", "line 1: the file ends"},
		{"a photo", "\xff\xd8\xff\xe0", "labels-not-json", "'ÿ' where an object is needed"},
		{"UTF-16", "\xff\xfe{\x00}\x00", "labels-not-json", "save it as UTF-8"},
		{"an array", `[1]`, "labels-not-coco", "array"},
		{"another object", `{"a":1}`, "labels-not-coco", "images"},
		{"images alone", `{"images":[]}`, "labels-not-coco", "annotations"},
		{"cut short", "{\"images\":[\n{\"id\":1,\n\"file_name\":\"a", "labels-not-json", "line 3: the file ends"},
		{"a comma missing", "{\"images\":[]\n\n\"annotations\":[]}", "labels-not-json", "line 3"},
		{"a bad number", `{"images":[],"annotations":[{"bbox":[1-2,0,0,0]}]}`, "labels-not-json", `"1-2"`},
		{"more after the end", `{"images":[],"annotations":[]} {}`, "labels-not-json", "more follows"},
		{"nested without end", `{"x":` + strings.Repeat("[", 10_000), "labels-not-json", "nested deeper"},
		{"brackets crossed", `{"x":[{]}`, "labels-not-json", "line 1"},
		{"too many images", `{"images":[{},{},{},{}],"annotations":[]}`, "labels-too-large", "3 images"},
		{"too many bytes", `{"images":[],"annotations":[]` + strings.Repeat(" ", 2000) + `}`, "labels-too-large", "1000 bytes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Read(strings.NewReader(tt.in), Limits{Images: 3, Bytes: 1000 + int64(len(tt.in)/100)*99*boolInt(tt.code != "labels-too-large")})
			if code, _ := errs.Reason(err); code != tt.code || !strings.Contains(fmt.Sprint(err), tt.says) {
				t.Errorf("got %v (%s), want %s saying %q", err, code, tt.code, tt.says)
			}
		})
	}
}

func boolInt(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func TestRead_readersErrorIsTransient(t *testing.T) {
	lost := errors.New("connection lost")
	_, err := Read(io.MultiReader(strings.NewReader(`{"images":[`), iotest.ErrReader(lost)), Limits{})
	if _, permanent := errs.Reason(err); permanent || !errors.Is(err, lost) {
		t.Errorf("got %v, want the reader's error", err)
	}
}

// shared returns a file of the real input kept beside the repository.
func shared(t testing.TB, name string) []byte {
	p, err := os.ReadFile(filepath.Join("../../../../shared/data", name))
	if err != nil {
		t.Skip("the real input is not on this machine: ", err)
	}
	return p
}

func TestRead_TACO(t *testing.T) {
	got, err := Read(bytes.NewReader(shared(t, "taco/annotations.json")), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if i, a, c := len(got.Images), len(got.Annotations), len(got.Categories); i != 1500 || a != 4784 || c != 60 {
		t.Errorf("official: %d images, %d annotations, %d categories", i, a, c)
	}
	z, err := gzip.NewReader(bytes.NewReader(shared(t, "taco/annotations_unofficial.json.gz")))
	if err != nil {
		t.Fatal(err)
	}
	got, err = Read(z, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	notFinite := 0
	for _, a := range got.Annotations {
		if math.IsInf(a.Box[0]+a.Box[1]+a.Box[2]+a.Box[3], 0) || math.IsNaN(a.Box[0]+a.Box[1]+a.Box[2]+a.Box[3]) {
			notFinite++
		}
	}
	if i, a := len(got.Images), len(got.Annotations); i != 3831 || a != 8334 || notFinite != 15 {
		t.Errorf("unofficial: %d images, %d annotations, %d not finite", i, a, notFinite)
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"images":[{"id":1,"file_name":"a.jpg"}],"annotations":[{"image_id":"1","segmentation":[[1,2,3,4,5,6]],"bbox":[NaN,-Infinity,1e9,0.5]}],"categories":[{"id":"x","name":"\ud83d\ude00"}]}`))
	f.Add([]byte(`{"a":[{"b":[[],{}]}],"images":[],"annotations":[]}`))
	f.Add([]byte(`{"images":[{"id":`))
	f.Fuzz(func(t *testing.T, p []byte) {
		limits := Limits{Images: 100, Annotations: 100, Bytes: 1 << 20}
		got, err := Read(bytes.NewReader(p), limits)
		if _, permanent := errs.Reason(err); err != nil && !permanent {
			t.Fatalf("an error without a reason code: %v", err)
		}
		again, err2 := Read(iotest.OneByteReader(bytes.NewReader(p)), limits)
		if fmt.Sprint(err) != fmt.Sprint(err2) {
			t.Fatalf("byte by byte: %v, at once: %v", err2, err)
		}
		if d := cmp.Diff(got, again, cmpopts.EquateNaNs()); d != "" {
			t.Fatal(d)
		}
	})
}

// syntheticLabels writes COCO labels of the given numbers of images and of
// annotations for each, as a peer's benchmark does.
func syntheticLabels(images, each int) []byte {
	var b bytes.Buffer
	b.WriteString(`{"images": [`)
	for i := range images {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, `{"id": %d, "width": 1920, "height": 1080, "file_name": "batch_%d/%012d.jpg"}`, i, i%15, i)
	}
	b.WriteString(`], "annotations": [`)
	for i := range images * each {
		if i > 0 {
			b.WriteString(", ")
		}
		x, y := float64(i*7919%18000)/10, float64(i*104729%9800)/10
		fmt.Fprintf(&b, `{"id": %d, "image_id": %d, "category_id": %d, "bbox": [%.2f, %.2f, %.2f, %.2f], "area": %.4f, "iscrowd": 0, "segmentation": [[%.2f, %.2f, %.2f, %.2f, %.2f, %.2f, %.2f, %.2f]]}`,
			i, i/each, 1+i%60, x, y, 120.5, 99.25, 120.5*99.25, x, y, x+120.5, y, x+120.5, y+99.25, x, y+99.25)
	}
	b.WriteString(`], "categories": [`)
	for i := range 60 {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, `{"id": %d, "name": "class %d"}`, i+1, i)
	}
	b.WriteString(`]}`)
	return b.Bytes()
}

func BenchmarkRead(b *testing.B) {
	p := syntheticLabels(20_000, 9)
	b.SetBytes(int64(len(p)))
	b.ReportAllocs()
	for b.Loop() {
		f, err := Read(bytes.NewReader(p), Limits{})
		if err != nil {
			b.Fatal(err)
		}
		runtime.KeepAlive(f)
	}
}

func TestSources(t *testing.T) {
	in := `{"annotations":[{"bbox":[NaN,Infinity,1,1]}],"images":[
		{"id":1,"file_name":"a.jpg","width":3,"height":4,"flickr_url":"http://a/o.png","flickr_640_url":"http://a/z.jpg"},
		{"id":2,"file_name":"b.jpg","flickr_url":null,"coco_url":"http://b"},{"id":3}, 7]}`
	got, err := Sources(strings.NewReader(in), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	want := []Source{{Image{1, "a.jpg", 3, 4}, "http://a/o.png"}, {Image{2, "b.jpg", 0, 0}, "http://b"}, {Image{ID: 3}, ""}}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if _, err := Sources(strings.NewReader(`{"a":1}`), Limits{}); err == nil {
		t.Error("an object without images is taken")
	}
	if _, err := Sources(strings.NewReader(`{"images":[{},{},{}]}`), Limits{Images: 2}); err == nil {
		t.Error("more images than the limit are taken")
	}
}
