// Package drawing draws photos of litter with exact boxes, so that the whole
// loop can be shown and tested with no data set at hand: a few kinds of litter
// on grass, sand, asphalt or soil, with leaves and stones to be mistaken for it.
package drawing

import (
	"bytes"
	"fmt"
	"image"
	"image/jpeg"
	"math"
	"math/rand/v2"
	"runtime"

	"golang.org/x/sync/errgroup"
)

// Classes of the drawn litter; a Box's Class is an index into it.
var Classes = []string{"bottle", "can", "paper", "bag", "cigarette"}

// Kind is what a drawn photo looks like as a whole.
type Kind int

// Day is the kind the first model is trained on. Dusk is what the street looks
// like later: dark, out of focus, and with other litter.
const (
	Day Kind = iota
	Dusk
)

// Box is a drawn object in pixels.
type Box struct {
	Class          int
	X1, Y1, X2, Y2 float64
}

// Photo is one drawn photo.
type Photo struct {
	Name  string // unique for a seed, kind and index
	JPEG  []byte
	W, H  int
	Boxes []Box
}

// Size of a drawn photo in pixels.
const (
	Width  = 320
	Height = 240
)

// mix is how often each class is drawn: what people drop changes with the hour.
var mix = map[Kind][]float64{
	Day:  {0.26, 0.26, 0.22, 0.16, 0.10},
	Dusk: {0.08, 0.10, 0.12, 0.35, 0.35},
}

// Set draws n photos of a kind. The same seed, kind and index give the same
// photo, whatever n is.
func Set(seed uint64, n int, kind Kind) ([]Photo, error) {
	photos := make([]Photo, n)
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i := range photos {
		g.Go(func() (err error) {
			photos[i], err = Draw(seed, i, kind)
			return err
		})
	}
	return photos, g.Wait()
}

// Draw draws the photo of one seed, index and kind.
func Draw(seed uint64, index int, kind Kind) (Photo, error) {
	r := rand.New(rand.NewPCG(seed, uint64(index)<<8|uint64(kind)))
	c := newCanvas(r)
	c.distractors(r)
	boxes := c.litter(r, mix[kind])
	im := c.image()
	if kind == Dusk {
		im = Darken(im)
	}
	var buf bytes.Buffer
	if err := jpeg.Encode(&buf, im, &jpeg.Options{Quality: 90}); err != nil {
		return Photo{}, fmt.Errorf("encode drawn photo: %w", err)
	}
	name := fmt.Sprintf("%s-%d-%04d.jpg", [...]string{"day", "dusk"}[kind], seed, index)
	return Photo{Name: name, JPEG: buf.Bytes(), W: Width, H: Height, Boxes: boxes}, nil
}

// litter paints one to five objects that do not overlap, and returns their boxes.
func (c *canvas) litter(r *rand.Rand, mix []float64) []Box {
	var boxes []Box
	for range 1 + r.IntN(5) {
		class := pick(r, mix)
		s, aspect := newShape(r, class)
		half := Height * (0.08 + 0.16*r.Float64())
		if Classes[class] == "cigarette" {
			half = Height * (0.07 + 0.06*r.Float64())
		}
		cx, cy, ok := c.place(r, half, boxes)
		if !ok {
			continue
		}
		b, n := c.paint(s, cx, cy, half, aspect, 2*math.Pi*r.Float64())
		if n < 40 { // too little of it is inside the photo to be labelled
			continue
		}
		b.Class = class
		boxes = append(boxes, b)
	}
	return boxes
}

func pick(r *rand.Rand, mix []float64) int {
	x := r.Float64()
	for i, p := range mix {
		if x < p {
			return i
		}
		x -= p
	}
	return len(mix) - 1
}

// place finds a centre whose object touches no box yet drawn.
func (c *canvas) place(r *rand.Rand, half float64, boxes []Box) (cx, cy float64, ok bool) {
	for range 30 {
		cx, cy, ok = Width*(0.06+0.88*r.Float64()), Height*(0.06+0.88*r.Float64()), true
		for _, b := range boxes {
			if cx+0.9*half > b.X1 && cx-0.9*half < b.X2 && cy+0.9*half > b.Y1 && cy-0.9*half < b.Y2 {
				ok = false
			}
		}
		if ok {
			return cx, cy, true
		}
	}
	return 0, 0, false
}

func (c *canvas) image() *image.RGBA {
	im := image.NewRGBA(image.Rect(0, 0, Width, Height))
	for i := 0; i < Width*Height; i++ {
		im.Pix[4*i], im.Pix[4*i+1], im.Pix[4*i+2], im.Pix[4*i+3] = c.pix[3*i], c.pix[3*i+1], c.pix[3*i+2], 255
	}
	return im
}
