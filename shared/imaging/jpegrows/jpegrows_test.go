package jpegrows

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/imaging"
)

const shared = "../../../../shared/data"

func need(t testing.TB) {
	t.Helper()
	if !Available() || imaging.Backend() != "libjpeg-turbo" {
		t.Skip("libjpeg-turbo is not installed")
	}
}

// layouts are what detectors ask for, and what makes other paths of the resize.
var layouts = map[string]func(w, h int) imaging.Geometry{
	"rect":   func(w, h int) imaging.Geometry { return imaging.FitRect(w, h, 640, 640, 32) },
	"square": func(w, h int) imaging.Geometry { return imaging.Fit(w, h, 640, 640) },
	"tiny":   func(w, h int) imaging.Geometry { return imaging.FitRect(w, h, 96, 96, 32) },
	"half":   func(w, h int) imaging.Geometry { return imaging.Fit(w, h, max(w/2, 1), max(h/2, 1)) },
	"same":   func(w, h int) imaging.Geometry { return imaging.Fit(w, h, w, h) },
}

// alike fails unless a photo gives the same input, or the same refusal, read row
// by row as decoded whole.
func alike(t testing.TB, name string, photo []byte, layouts map[string]func(w, h int) imaging.Geometry) {
	t.Helper()
	var rows, whole imaging.Loader
	rows.Rows = Open
	for layout, fit := range layouts {
		var dst, want []float32
		if info, err := imaging.Header(photo); err == nil {
			g := fit(info.W, info.H)
			dst, want = make([]float32, 3*g.InputW*g.InputH), make([]float32, 3*g.InputW*g.InputH)
		}
		_, gotErr := rows.Load(dst, photo, fit)
		_, wantErr := whole.Load(want, photo, fit)
		gotReason, _ := errs.Reason(gotErr)
		wantReason, _ := errs.Reason(wantErr)
		switch {
		case (gotErr == nil) != (wantErr == nil) || gotReason != wantReason:
			t.Errorf("%s, %s: row by row %v, whole %v", name, layout, gotErr, wantErr)
		case gotErr == nil && !slices.Equal(dst, want):
			t.Errorf("%s, %s: other pixels row by row", name, layout)
		}
	}
}

func TestLoad_rowByRowEqualsWhole(t *testing.T) {
	need(t)
	paths, err := filepath.Glob("../testdata/*.*")
	if err != nil || len(paths) == 0 {
		t.Fatal("no fixtures: ", err)
	}
	for _, path := range paths {
		if filepath.Ext(path) == ".json" || filepath.Ext(path) == ".py" {
			continue
		}
		photo, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		alike(t, filepath.Base(path), photo, layouts)
	}
}

// What Decode shows and Letterbox writes is what Load writes, whatever the
// orientation.
func TestLoad_equalsDecodeAndLetterbox(t *testing.T) {
	need(t)
	paths, _ := filepath.Glob("../testdata/*.*")
	l := imaging.Loader{Rows: Open}
	for _, path := range paths {
		photo, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		im, err := imaging.Decode(photo)
		if err != nil {
			continue // not a photo
		}
		for layout, fit := range layouts {
			g := fit(im.W, im.H)
			got, want := make([]float32, 3*g.InputW*g.InputH), make([]float32, 3*g.InputW*g.InputH)
			g.Letterbox(want, im)
			if at, err := l.Load(got, photo, fit); err != nil || at != g {
				t.Fatalf("%s, %s: %+v, %v", path, layout, at, err)
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s, %s: other pixels", path, layout)
			}
		}
	}
}

func TestLoad_realPhotosRowByRowEqualWhole(t *testing.T) {
	need(t)
	var paths []string
	for _, dir := range []string{"exif_orientation", "awkward", "taco_subset/*"} {
		found, _ := filepath.Glob(filepath.Join(shared, dir, "*"))
		paths = append(paths, found...)
	}
	if len(paths) == 0 {
		t.Skip("no recorded photos")
	}
	some := map[string]func(w, h int) imaging.Geometry{"rect": layouts["rect"]}
	n := 0
	for _, path := range paths {
		photo, err := os.ReadFile(path)
		if err != nil || !strings.HasPrefix(string(photo[:min(len(photo), 3)]), "\xff\xd8\xff") {
			continue
		}
		n++
		alike(t, path, photo, some)
	}
	t.Log(n, "photos")
}

func TestLoad_randomPhotosRowByRowEqualWhole(t *testing.T) {
	need(t)
	e := newEncoder(t)
	r := rand.New(rand.NewPCG(5, 6))
	for n := range 60 {
		w, h := 1+r.IntN(90), 1+r.IntN(90)
		if n%20 == 0 {
			w, h = 650+r.IntN(700), 650+r.IntN(700)
		}
		pix := make([]byte, 3*w*h)
		for i := range pix {
			pix[i] = byte(i/3*5/w + i*r.IntN(3))
		}
		subsampling, progressive, restart := r.IntN(len(subsamplings)), r.IntN(3) == 0, r.IntN(3)*(1+r.IntN(4))
		t.Setenv("TJ_RESTART", "") // each so many rows of blocks
		if restart > 0 {
			t.Setenv("TJ_RESTART", fmt.Sprint(restart))
		}
		photo := e.encode(t, pix, w, h, subsampling, 20+r.IntN(80), progressive)
		name := fmt.Sprintf("%dx%d %s, progressive %v, restarts every %d", w, h, subsamplings[subsampling], progressive, restart)
		alike(t, name, photo, layouts)
		photo = oriented(photo, 1+r.IntN(8))
		alike(t, "turned "+name, photo, layouts)
	}
}

// oriented adds an EXIF orientation.
func oriented(photo []byte, o int) []byte {
	body := append([]byte("Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00"), byte(o), 0, 0, 0, 0, 0, 0)
	segment := append([]byte{0xff, 0xe1, 0, byte(len(body) + 2)}, body...)
	return slices.Concat(photo[:2], segment, photo[2:])
}

func TestLoad_everyPrefixIsRefusedAlike(t *testing.T) {
	need(t)
	some := map[string]func(w, h int) imaging.Geometry{"rect": layouts["tiny"]}
	for _, name := range []string{"420.jpg", "progressive.jpg", "restarts.jpg", "orientation6.jpg", "gray.jpg"} {
		photo, err := os.ReadFile("../testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		l := imaging.Loader{Rows: Open}
		dst := make([]float32, 3*96*96)
		for n := 0; n < len(photo); n += 1 + n/800*6 {
			if _, err := l.Load(dst, photo[:n:n], some["rect"]); err == nil {
				t.Fatalf("the first %d of %d bytes of %s are accepted", n, len(photo), name)
			}
			if n%20 == 0 {
				alike(t, fmt.Sprintf("%d bytes of %s", n, name), photo[:n:n], some)
			}
		}
	}
}

// Damage is judged alike, and leaves nothing behind.
func TestLoad_damagedPhotosAreJudgedAlike(t *testing.T) {
	need(t)
	some := map[string]func(w, h int) imaging.Geometry{"tiny": layouts["tiny"]}
	photo, err := os.ReadFile("../testdata/420.jpg")
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(7, 8))
	for range 300 {
		damaged := bytes.Clone(photo)
		for range 3 {
			damaged[600+r.IntN(len(damaged)-600)] ^= byte(1 + r.IntN(255))
		}
		var rows, whole imaging.Loader
		rows.Rows = Open
		dst := make([]float32, 3*96*96)
		_, got := rows.Load(dst, damaged, some["tiny"])
		_, want := whole.Load(dst, damaged, some["tiny"])
		gotReason, _ := errs.Reason(got)
		wantReason, _ := errs.Reason(want)
		if gotReason != wantReason {
			t.Errorf("row by row %v, whole %v", got, want)
		}
		alike(t, "the photo itself", photo, some)
	}
}

func TestOpen_leavesCMYKToOthers(t *testing.T) {
	need(t)
	photo, err := os.ReadFile("../testdata/cmyk.jpg")
	if err != nil {
		t.Fatal(err)
	}
	info, err := imaging.Header(photo)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(photo, info.W, info.H); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("error %v", err)
	}
}

func FuzzLoad(f *testing.F) {
	need(f)
	for _, name := range []string{"420.jpg", "progressive.jpg", "gray.jpg", "cmyk.jpg", "orientation6.jpg", "restarts.jpg", "422.jpg"} {
		photo, err := os.ReadFile("../testdata/" + name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(photo)
	}
	dst := make([]float32, 3*96*96)
	f.Fuzz(func(t *testing.T, photo []byte) {
		l := imaging.Loader{Rows: Open, MaxPixels: 1 << 20}
		g, err := l.Load(dst, photo, layouts["tiny"])
		if _, permanent := errs.Reason(err); err != nil && !permanent {
			t.Fatalf("error %v carries no reason", err)
		}
		if err != nil {
			return
		}
		for _, v := range dst[:3*g.InputW*g.InputH] {
			if !(v >= 0 && v <= 1) {
				t.Fatalf("value %v in the input", v)
			}
		}
	})
}
