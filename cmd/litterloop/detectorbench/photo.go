package detectorbench

import (
	"bytes"
	"fmt"
	"image"
	"image/jpeg"
	"math/rand/v2"
	"os"

	"github.com/litterloop/litterloop/shared/imaging"
	"golang.org/x/image/draw"
)

// photos are the two workloads of a benchmark.
func photos(path string) (small, large []byte, err error) {
	if path == "" {
		large, err = encode(scene(4000, 3000), 92)
	} else {
		large, err = os.ReadFile(path)
	}
	if err != nil {
		return nil, nil, err
	}
	im, err := imaging.Decode(large)
	if err != nil {
		return nil, nil, fmt.Errorf("photo %s: %w", path, err)
	}
	full := image.NewRGBA(image.Rect(0, 0, im.W, im.H))
	for i := range im.W * im.H {
		copy(full.Pix[4*i:4*i+3], im.Pix[3*i:3*i+3])
		full.Pix[4*i+3] = 255
	}
	w, h := 640, 480
	if im.H > im.W {
		w, h = h, w
	}
	scaled := image.NewRGBA(image.Rect(0, 0, w, h))
	draw.ApproxBiLinear.Scale(scaled, scaled.Rect, full, full.Rect, draw.Src, nil)
	small, err = encode(scaled, 90)
	return small, large, err
}

// scene draws what compresses like a camera's picture: areas, edges, grain.
func scene(w, h int) image.Image {
	r := rand.New(rand.NewPCG(1, 2))
	m := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			k := m.PixOffset(x, y)
			n := r.IntN(18)
			m.Pix[k] = byte(40 + x*150/w + n)
			m.Pix[k+1] = byte(30 + y*150/h + n)
			m.Pix[k+2] = byte(20 + (x/160^y/160)%2*90 + n)
			m.Pix[k+3] = 255
		}
	}
	return m
}

func encode(m image.Image, quality int) ([]byte, error) {
	var buf bytes.Buffer
	err := jpeg.Encode(&buf, m, &jpeg.Options{Quality: quality})
	return buf.Bytes(), err
}
