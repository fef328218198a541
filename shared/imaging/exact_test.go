package imaging

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"
)

// expected is what OpenCV decoded and laid out; testdata/make.py wrote it.
type expected struct {
	Width, Height      int
	Pixels             string
	Rect, Square, Tiny struct {
		Width, Height int
		Pixels        string
	}
}

func fixtures(t testing.TB) map[string]expected {
	t.Helper()
	text, err := os.ReadFile("testdata/expected.json")
	if err != nil {
		t.Fatal(err)
	}
	var want map[string]expected
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	return want
}

func read(t testing.TB, name string) []byte {
	t.Helper()
	p, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func digest(p []byte) string {
	h := sha256.Sum256(p)
	return hex.EncodeToString(h[:])
}

// bytesOf turns planes of 0 to 1 back into interleaved bytes.
func bytesOf(t testing.TB, planes []float32, n int) []byte {
	t.Helper()
	out := make([]byte, 3*n)
	for i := range n {
		for c := range 3 {
			v := float64(planes[c*n+i]) * 255
			if math.Abs(v-math.Round(v)) > 1e-4 {
				t.Fatalf("value %v of plane %d is no multiple of 1/255", planes[c*n+i], c)
			}
			out[3*i+c] = byte(math.Round(v))
		}
	}
	return out
}

func TestDecode_equalsOpenCV(t *testing.T) {
	for name, want := range fixtures(t) {
		t.Run(name, func(t *testing.T) {
			if filepath.Ext(name) == ".jpg" && Backend() != "libjpeg-turbo" {
				t.Skip("libjpeg-turbo is not installed: JPEG is only nearly exact")
			}
			im, err := Decode(read(t, name))
			if err != nil {
				t.Fatal(err)
			}
			if im.W != want.Width || im.H != want.Height {
				t.Fatalf("%dx%d, want %dx%d", im.W, im.H, want.Width, want.Height)
			}
			if digest(im.Pix) != want.Pixels {
				t.Error("pixels differ from OpenCV's")
			}
		})
	}
}

func TestLetterbox_equalsUltralytics(t *testing.T) {
	for name, want := range fixtures(t) {
		t.Run(name, func(t *testing.T) {
			if filepath.Ext(name) == ".jpg" && Backend() != "libjpeg-turbo" {
				t.Skip("libjpeg-turbo is not installed: JPEG is only nearly exact")
			}
			im, err := Decode(read(t, name))
			if err != nil {
				t.Fatal(err)
			}
			check := func(what string, g Geometry, w, h int, pixels string) {
				t.Helper()
				if g.InputW != w || g.InputH != h {
					t.Fatalf("%s: input of %dx%d, want %dx%d", what, g.InputW, g.InputH, w, h)
				}
				input := make([]float32, 3*w*h)
				g.Letterbox(input, im)
				if digest(bytesOf(t, input, w*h)) != pixels {
					t.Errorf("%s: pixels differ from Ultralytics' LetterBox", what)
				}
			}
			check("rect", FitRect(im.W, im.H, 640, 640, 32), want.Rect.Width, want.Rect.Height, want.Rect.Pixels)
			check("square", Fit(im.W, im.H, 640, 640), want.Square.Width, want.Square.Height, want.Square.Pixels)
			check("tiny", FitRect(im.W, im.H, 96, 96, 32), want.Tiny.Width, want.Tiny.Height, want.Tiny.Pixels)
		})
	}
}

// The fallback may differ in grey levels, never in what is on the photo.
func TestDecodeJPEGPlain_isNearlyExact(t *testing.T) {
	if Backend() != "libjpeg-turbo" {
		t.Skip("libjpeg-turbo is not installed: nothing to compare with")
	}
	for name := range fixtures(t) {
		if filepath.Ext(name) != ".jpg" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			var exact, plain Image
			if err := decodeJPEG(&exact, read(t, name)); err != nil {
				t.Fatal(err)
			}
			if err := decodeJPEGPlain(&plain, read(t, name)); err != nil {
				t.Fatal(err)
			}
			if plain.W != exact.W || plain.H != exact.H {
				t.Fatalf("%dx%d, want %dx%d", plain.W, plain.H, exact.W, exact.H)
			}
			var sum float64
			for i := range exact.Pix {
				sum += math.Abs(float64(exact.Pix[i]) - float64(plain.Pix[i]))
			}
			if mean := sum / float64(len(exact.Pix)); mean > 4 {
				t.Errorf("differs by %.2f grey levels on average", mean)
			}
		})
	}
}

func TestHeader_agreesWithDecode(t *testing.T) {
	for name, want := range fixtures(t) {
		info, err := Header(read(t, name))
		if err != nil {
			t.Fatal(name, err)
		}
		if info.W != want.Width || info.H != want.Height {
			t.Errorf("%s is %dx%d, want %dx%d", name, info.W, info.H, want.Width, want.Height)
		}
	}
}
