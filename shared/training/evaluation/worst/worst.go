// Package worst draws photos on which a detector failed: labels in white, what
// was found in colour.
package worst

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"

	xdraw "golang.org/x/image/draw"

	"github.com/litterloop/litterloop/shared/imaging"
	"github.com/litterloop/litterloop/shared/training/evaluation"
)

// maxSide is of the drawing: enough to see what was missed, small enough to keep
// with every run.
const maxSide = 960

var (
	labelled = color.RGBA{255, 255, 255, 255}
	right    = color.RGBA{0, 158, 115, 255}
	wrong    = color.RGBA{213, 94, 0, 255}
)

// overlap from which on a detection counts as right.
const overlap = 0.5

// Draw returns a photo as JPEG with its labels in white and the detections of
// at least a confidence: green where they meet a label of their class, orange
// where not.
func Draw(photo []byte, p evaluation.Photo, confidence float64) ([]byte, error) {
	im, err := imaging.Decode(photo)
	if err != nil {
		return nil, err
	}
	scale := min(1, float64(maxSide)/float64(max(im.W, im.H)))
	whole := image.NewRGBA(image.Rect(0, 0, im.W, im.H))
	for i, o := 0, 0; i+3 <= len(im.Pix); i, o = i+3, o+4 {
		copy(whole.Pix[o:o+3], im.Pix[i:i+3])
		whole.Pix[o+3] = 255
	}
	out := image.NewRGBA(image.Rect(0, 0, max(int(float64(im.W)*scale), 1), max(int(float64(im.H)*scale), 1)))
	xdraw.ApproxBiLinear.Scale(out, out.Rect, whole, whole.Rect, draw.Src, nil)
	for _, l := range p.Labels {
		frame(out, l.Box, scale, 3, labelled)
	}
	for _, d := range p.Detections {
		if d.Score < confidence {
			continue
		}
		ink := wrong
		for _, l := range p.Labels {
			if l.Class == d.Class && evaluation.IoU(l.Box, d.Box) >= overlap {
				ink = right
			}
		}
		frame(out, d.Box, scale, 2, ink)
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, out, &jpeg.Options{Quality: 85}); err != nil {
		return nil, fmt.Errorf("encode the drawing: %w", err)
	}
	return b.Bytes(), nil
}

// frame draws the sides of a box of the photo, line pixels wide.
func frame(out draw.Image, box [4]float64, scale float64, line int, ink color.Color) {
	r := image.Rect(int(box[0]*scale), int(box[1]*scale), int(box[2]*scale), int(box[3]*scale))
	for _, side := range []image.Rectangle{
		{r.Min, image.Pt(r.Max.X, r.Min.Y+line)}, {image.Pt(r.Min.X, r.Max.Y-line), r.Max},
		{r.Min, image.Pt(r.Min.X+line, r.Max.Y)}, {image.Pt(r.Max.X-line, r.Min.Y), r.Max},
	} {
		draw.Draw(out, side, image.NewUniform(ink), image.Point{}, draw.Src)
	}
}
