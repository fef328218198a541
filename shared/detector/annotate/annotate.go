// Package annotate draws detections on their photo.
package annotate

import (
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"math"
	"sync"

	"github.com/litterloop/litterloop/shared/imaging"
	"github.com/litterloop/litterloop/shared/modelpackage"
	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/gomedium"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"
)

// typeface is read once; the bytes are part of the program, so it cannot fail.
var typeface = sync.OnceValue(func() *opentype.Font {
	f, err := opentype.Parse(gomedium.TTF)
	if err != nil {
		panic(err)
	}
	return f
})

// Draw returns the photo with a box and a label for each detection, the best on
// top. Lines and letters grow with the photo.
func Draw(im *imaging.Image, found []modelpackage.Detection) (*image.RGBA, error) {
	out := image.NewRGBA(image.Rect(0, 0, im.W, im.H))
	for i, k := 0, 0; k < len(out.Pix); i, k = i+3, k+4 {
		out.Pix[k], out.Pix[k+1], out.Pix[k+2], out.Pix[k+3] = im.Pix[i], im.Pix[i+1], im.Pix[i+2], 255
	}
	line := max(2, max(im.W, im.H)/400)
	face, err := opentype.NewFace(typeface(), &opentype.FaceOptions{Size: float64(6 * line), DPI: 72, Hinting: font.HintingFull})
	if err != nil {
		return nil, fmt.Errorf("annotate: %w", err)
	}
	defer face.Close()
	for i := len(found) - 1; i >= 0; i-- {
		d := found[i]
		ink := image.NewUniform(Colour(d.ClassID))
		box := image.Rect(int(d.Box[0]), int(d.Box[1]), int(math.Ceil(d.Box[2])), int(math.Ceil(d.Box[3])))
		frame(out, box, line, ink)
		label(out, box, line, face, fmt.Sprintf("%s %.2f", d.Class, d.Confidence), ink)
	}
	return out, nil
}

// frame draws the four sides inside of box.
func frame(out draw.Image, box image.Rectangle, line int, ink image.Image) {
	for _, side := range []image.Rectangle{
		{box.Min, image.Pt(box.Max.X, box.Min.Y+line)}, {image.Pt(box.Min.X, box.Max.Y-line), box.Max},
		{box.Min, image.Pt(box.Min.X+line, box.Max.Y)}, {image.Pt(box.Max.X-line, box.Min.Y), box.Max},
	} {
		draw.Draw(out, side.Intersect(box), ink, image.Point{}, draw.Src)
	}
}

// label writes text on a tab above the box, or inside where there is no room, and
// within the photo's width.
func label(out draw.Image, box image.Rectangle, line int, face font.Face, text string, ink image.Image) {
	m := face.Metrics()
	height := (m.Ascent + m.Descent).Ceil()
	width := font.MeasureString(face, text).Ceil() + 2*line
	top, left := max(box.Min.Y-height, 0), max(min(box.Min.X, out.Bounds().Max.X-width), 0)
	tab := image.Rect(left, top, left+width, top+height)
	draw.Draw(out, tab, ink, image.Point{}, draw.Src)
	d := font.Drawer{Dst: out, Src: image.White, Face: face, Dot: fixed.P(tab.Min.X+line, top+m.Ascent.Ceil())}
	d.DrawString(text)
}

// Colour of a class: hues a golden angle apart, so that neighbours differ most.
func Colour(class int) color.RGBA {
	hue := math.Mod(float64(class)*137.508, 360) / 60
	const low, high = 0.07, 0.83 // dark enough for white letters
	rise := low + (high-low)*(1-math.Abs(math.Mod(hue, 2)-1))
	c := [6][3]float64{{high, rise, low}, {rise, high, low}, {low, high, rise}, {low, rise, high}, {rise, low, high}, {high, low, rise}}[int(hue)]
	return color.RGBA{byte(255 * c[0]), byte(255 * c[1]), byte(255 * c[2]), 255}
}
