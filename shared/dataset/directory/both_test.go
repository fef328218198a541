package directory_test

import (
	"bytes"
	"encoding/json"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/blob/blobmem"
	"github.com/litterloop/litterloop/shared/dataset"
	"github.com/litterloop/litterloop/shared/dataset/directory"
	"github.com/litterloop/litterloop/shared/dataset/intake"
	"github.com/litterloop/litterloop/shared/errs"
)

// input is labelled photos: files by name, and COCO labels that name photos.
type input struct {
	files map[string][]byte
	named []string
	sizes map[string][2]int // declared, where it is not 40x30
}

func (in input) labels(t *testing.T) []byte {
	type m = map[string]any
	images, annotations := []m{}, []m{}
	for i, n := range in.named {
		size, ok := in.sizes[n]
		if !ok {
			size = [2]int{40, 30}
		}
		images = append(images, m{"id": i, "file_name": n, "width": size[0], "height": size[1]})
		annotations = append(annotations, m{"id": i, "image_id": i, "category_id": 1, "bbox": []float64{1, 2, 8, 6}})
	}
	text, err := json.Marshal(m{"images": images, "annotations": annotations, "categories": []m{{"id": 1, "name": "Can"}}})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// outcome is what became of an input: the places of its photos and the codes.
type outcome struct {
	Places  []string
	Codes   map[errs.Code]int
	Refused []string // photos, each with its code
}

func told(findings []dataset.Finding) outcome {
	out := outcome{Codes: codes(findings)}
	for _, f := range findings {
		for _, e := range f.Examples {
			if name, _, _ := strings.Cut(e, ": "); strings.HasPrefix(string(f.Code), "photo-") {
				out.Refused = append(out.Refused, string(f.Code)+" "+name)
			}
		}
	}
	return out
}

func codes(findings []dataset.Finding) map[errs.Code]int {
	out := map[errs.Code]int{}
	for _, f := range findings {
		if f.Code != dataset.PhotoNotInLabels { // which disks are full of
			out[f.Code] = f.Count
		}
	}
	return out
}

// split is left out of a place: the seeds are the same, the folders are not.
func place(path, folder string) string {
	_, rest, _ := strings.Cut(strings.TrimPrefix(path, "images/"), "/")
	return strings.TrimPrefix(rest, folder)
}

func throughBucket(t *testing.T, in input) outcome {
	incoming, datasets := blobmem.New("incoming"), blobmem.New("datasets")
	policy := dataset.DefaultPolicy()
	policy.MaxLost = 1
	take := intake.New(incoming, datasets, intake.Options{Policy: policy, Now: func() time.Time { return time.Unix(0, 0) }, Log: slog.New(slog.DiscardHandler)})
	in.files[dataset.LabelsFile] = in.labels(t)
	var s dataset.BatchStatus
	for _, name := range slices.Sorted(func(yield func(string) bool) {
		for n := range in.files {
			if !yield(n) {
				return
			}
		}
	}) {
		if _, err := incoming.Write(t.Context(), "b/"+name, bytes.NewReader(in.files[name]), blob.WriteOptions{IfGeneration: blob.Any}); err != nil {
			t.Fatal(err)
		}
		var err error
		if s, err = take.Take(t.Context(), "b/"+name); err != nil {
			t.Fatal(err)
		}
	}
	out := told(s.Findings)
	if s.State != dataset.Converted && len(in.named) > 0 && s.Version == "" {
		t.Logf("the batch is %s: %s", s.State, s.WaitsFor())
		return out
	}
	photos, err := dataset.Photos(t.Context(), datasets, s.Version)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range photos {
		out.Places = append(out.Places, place(p.Path, "b/"))
	}
	slices.Sort(out.Places)
	return out
}

func throughFiles(t *testing.T, in input) outcome {
	dir := t.TempDir()
	in.files[dataset.LabelsFile] = in.labels(t)
	for name, data := range in.files {
		name = filepath.Join(dir, "in", filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, data, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	made := filepath.Join(dir, "out")
	s, err := directory.Convert(t.Context(), filepath.Join(dir, "in"), made, directory.Options{Policy: dataset.DefaultPolicy()})
	if err != nil {
		t.Fatal(err)
	}
	out := told(s.Findings)
	err = filepath.WalkDir(filepath.Join(made, "images"), func(p string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(made, p)
			out.Places = append(out.Places, place(filepath.ToSlash(rel), ""))
			if label := filepath.Join(made, dataset.LabelPath(filepath.ToSlash(rel))); !isFile(label) {
				t.Errorf("%s has no labels at %s", rel, label)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(out.Places)
	return out
}

func isFile(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.Mode().IsRegular()
}

// picture is a drawing of its own for each seed.
func picture(t *testing.T, seed int, name string) []byte {
	im := image.NewRGBA(image.Rect(0, 0, 40, 30))
	for y := range 30 {
		for x := range 40 {
			im.Set(x, y, color.RGBA{byte(x*seed*7 + 3*y), byte(y * (seed + 5)), byte(seed * 31), 255})
		}
	}
	var out bytes.Buffer
	var err error
	if strings.HasSuffix(strings.ToLower(name), ".png") {
		err = png.Encode(&out, im)
	} else {
		err = jpeg.Encode(&out, im, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// Every trap in the names of photos, through the bucket and through files: both
// end in the same places, with the same codes.
func TestNames(t *testing.T) {
	tests := []struct {
		name         string
		files, named []string
		want         int // photos
		codes        map[errs.Code]int
	}{
		{"plain", []string{"a.jpg"}, nil, 1, nil},
		{"directories, and one name in each", []string{"x/a.jpg", "y/a.jpg", "y/z/a.jpg", "a.jpg"}, nil, 4, nil},
		{"an ending in capitals beside one that is not", []string{"a.JPG", "a.jpg"}, nil, 2, map[errs.Code]int{dataset.NameChanged: 1}},
		{"two formats of one name", []string{"x.jpg", "x.png"}, nil, 2, map[errs.Code]int{dataset.NameChanged: 1}},
		{"names that differ in case", []string{"Photo.jpg", "photo.jpg", "PHOTO.JPG"}, nil, 3, map[errs.Code]int{dataset.NameChanged: 2}},
		{"directories that differ in case", []string{"Day/a.jpg", "day/a.jpg"}, nil, 2, map[errs.Code]int{dataset.NameChanged: 1}},
		{"spaces", []string{" a b .jpg", "c  d/e.jpg"}, nil, 2, nil},
		{"letters of the world", []string{"ü/漢字 😀.jpg", "नमस्ते.jpg"}, nil, 2, nil},
		{"accents apart in the labels", []string{"\u00e9.jpg"}, []string{"e\u0301.jpg"}, 1, nil},
		{"accents apart in the files", []string{"e\u0301.jpg"}, []string{"\u00e9.jpg"}, 1, nil},
		{"photos in images/, labels without it", []string{"images/a.jpg", "images/d/b.jpg"}, []string{"a.jpg", "d/b.jpg"}, 2, nil},
		{"photos in images/, labels with it", []string{"images/a.jpg"}, nil, 1, nil},
		{"the same name with and without images/", []string{"images/a.jpg", "a.jpg"}, nil, 2, map[errs.Code]int{dataset.NameChanged: 1}},
		{"backslashes in the labels", []string{"d/a.jpg"}, []string{`d\a.jpg`}, 1, nil},
		{"dots in the labels", []string{"d/a.jpg"}, []string{"./d/./a.jpg"}, 1, nil},
		{"characters that some file systems refuse", []string{`a:b*c?"<>|.jpg`, "d.jpg"}, nil, 2, map[errs.Code]int{dataset.NameChanged: 1}},
		{"no ending", []string{"photo", "d.jpg"}, nil, 2, nil},
		{"several dots", []string{"a.b.c.jpg", "..a.jpg"}, nil, 2, nil},
		{"names that leave", []string{"a.jpg"}, []string{"a.jpg", "../a.jpg", "/etc/passwd", `..\..\a.jpg`, "d/../../a.jpg", ".."}, 1, map[errs.Code]int{dataset.NameUnsafe: 5, dataset.ImageUnknown: 5}},
		{"a name twice", []string{"a.jpg"}, []string{"a.jpg", "./a.jpg"}, 1, map[errs.Code]int{dataset.NameDuplicate: 1}},
		{"a name of nothing", []string{"a.jpg"}, []string{"a.jpg", ""}, 1, map[errs.Code]int{dataset.NameMissing: 1, dataset.ImageUnknown: 1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := input{files: map[string][]byte{}, named: tt.named}
			for i, f := range tt.files {
				in.files[f] = picture(t, i+1, f)
			}
			if tt.named == nil {
				in.named = tt.files
			}
			bucket, files := throughBucket(t, in), throughFiles(t, in)
			if tt.codes == nil {
				tt.codes = map[errs.Code]int{}
			}
			if d := cmp.Diff(bucket, files); d != "" {
				t.Errorf("the bucket (-) and files (+) differ: %s", d)
			}
			if d := cmp.Diff(tt.codes, bucket.Codes); d != "" || len(bucket.Places) != tt.want {
				t.Errorf("%q %s", bucket.Places, d)
			}
			for _, p := range bucket.Places {
				if p == "" || strings.Contains("/"+p, "/../") || strings.HasPrefix(p, "/") {
					t.Errorf("a photo lies at %q", p)
				}
			}
		})
	}
}

// The photos that software trips over, each with a box: what can be decoded is
// used, and of what cannot each has its reason.
func TestAwkwardPhotos(t *testing.T) {
	dir := "../../../../shared/data/awkward"
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Skip("the real input is not on this machine: ", err)
	}
	in := input{files: map[string][]byte{}, sizes: map[string][2]int{}}
	for _, e := range entries {
		if !dataset.IsPhotoName(e.Name()) {
			continue
		}
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		in.files[e.Name()], in.named, in.sizes[e.Name()] = data, append(in.named, e.Name()), [2]int{}
	}
	bucket, files := throughBucket(t, in), throughFiles(t, in)
	if d := cmp.Diff(bucket, files); d != "" {
		t.Errorf("the bucket (-) and files (+) differ: %s", d)
	}
	if len(bucket.Places)+len(bucket.Refused) != len(in.named) || len(in.named) < 40 {
		t.Errorf("of %d photos %d are used", len(in.named), len(bucket.Places))
	}
	if d := cmp.Diff([]string{
		"photo-unreadable broken_data_stream.png",
		"photo-unreadable empty.heic",
		"photo-unreadable iss634.webp", // animated
		"photo-unreadable truncated_image.png",
		"photo-unreadable truncated_jpeg.jpg",
		"photo-unreadable ultrahdr.jpg", // cut short
		"photo-unsupported L_exif_xmp_iptc.heic",
		"photo-unsupported arrow.heic",
		"photo-unsupported corrupted.heic",
		"photo-unsupported hopper.avif",
		"photo-unsupported truncated.heic",
		"photo-unsupported zPug_3.heic",
		"photo-unsupported zero_width.gif",
	}, bucket.Refused); d != "" {
		t.Error(d)
	}
}

// A photo that EXIF turns is as it is displayed, whichever size labels declare;
// that they may have been drawn before it was turned is told.
func TestOrientation(t *testing.T) {
	dir := "../../../../shared/data/exif_orientation"
	if _, err := os.Stat(dir); err != nil {
		t.Skip("the real input is not on this machine: ", err)
	}
	for _, tt := range []struct {
		declared [2]int
		codes    map[errs.Code]int
	}{
		{[2]int{1800, 1200}, map[errs.Code]int{}},
		{[2]int{1200, 1800}, map[errs.Code]int{dataset.OrientationSuspect: 4}},
		{[2]int{}, map[errs.Code]int{}},
		{[2]int{180, 120}, map[errs.Code]int{dataset.SizeDiffers: 4}},
	} {
		in := input{files: map[string][]byte{}, sizes: map[string][2]int{}}
		for _, i := range []int{1, 3, 6, 8} {
			name := "Landscape_" + string(rune('0'+i)) + ".jpg"
			data, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			in.files[name], in.named, in.sizes[name] = data, append(in.named, name), tt.declared
		}
		bucket, files := throughBucket(t, in), throughFiles(t, in)
		if d := cmp.Diff(bucket, files) + cmp.Diff(tt.codes, bucket.Codes); d != "" || len(bucket.Places) != 4 {
			t.Errorf("declared %v: %s", tt.declared, d)
		}
	}
}
