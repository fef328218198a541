package imaging

import (
	"bytes"
	"image"
	"image/jpeg"
	"math/rand/v2"
	"testing"
)

// shot is a photo as a camera makes it: smooth colours, edges, noise.
func shot(b *testing.B, w, h int) []byte {
	b.Helper()
	r := rand.New(rand.NewPCG(1, 2))
	m := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			k := m.PixOffset(x, y)
			n := r.IntN(16)
			m.Pix[k], m.Pix[k+1], m.Pix[k+2], m.Pix[k+3] = byte(x*200/w+n), byte(y*200/h+n), byte((x/64^y/64)%2*120+n), 255
		}
	}
	var buf bytes.Buffer
	if err := jpeg.Encode(&buf, m, &jpeg.Options{Quality: 85}); err != nil {
		b.Fatal(err)
	}
	return buf.Bytes()
}

var sizes = []struct {
	name string
	w, h int
}{{"640x480", 640, 480}, {"12MP", 4000, 3000}}

func BenchmarkDecodeInto(b *testing.B) {
	for _, s := range sizes {
		photo := shot(b, s.w, s.h)
		im := new(Image)
		b.Run(s.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := DecodeInto(im, photo, Options{}); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(s.name+"/image-jpeg", func(b *testing.B) {
			for b.Loop() {
				if err := decodeJPEGPlain(im, photo); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkLetterbox(b *testing.B) {
	for _, s := range sizes {
		im, err := Decode(shot(b, s.w, s.h))
		if err != nil {
			b.Fatal(err)
		}
		g := FitRect(im.W, im.H, 640, 640, 32)
		input := make([]float32, 3*g.InputW*g.InputH)
		b.Run(s.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				g.Letterbox(input, im)
			}
		})
		b.Run(s.name+"/measure", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				MeasureInput(input, g)
			}
		})
	}
}
