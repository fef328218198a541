package drawing

import (
	"image"
	"image/draw"
)

// Darken renders a photo as a worse camera sees it in the evening: out of focus
// by about a hundredth of its width, at two fifths of the light, and bluish. It
// moves nothing, so boxes stay true.
func Darken(src image.Image) *image.RGBA {
	b := src.Bounds()
	im := image.NewRGBA(image.Rect(0, 0, b.Dx(), b.Dy()))
	draw.Draw(im, im.Bounds(), src, b.Min, draw.Src)
	radius := max(1, b.Dx()/200)
	for range 2 { // two box filters are nearly a Gaussian
		blur(im.Pix, b.Dx(), b.Dy(), 4, 4*b.Dx(), radius)
		blur(im.Pix, b.Dy(), b.Dx(), 4*b.Dx(), 4, radius)
	}
	for i := 0; i < len(im.Pix); i += 4 {
		im.Pix[i] = uint8(float64(im.Pix[i]) * 0.36)
		im.Pix[i+1] = uint8(float64(im.Pix[i+1]) * 0.38)
		im.Pix[i+2] = uint8(float64(im.Pix[i+2])*0.46 + 6)
	}
	return im
}

// blur averages 2*radius+1 pixels along lines of n pixels that lie step bytes
// apart; there are m lines, stride bytes apart.
func blur(pix []uint8, n, m, step, stride, radius int) {
	line := make([]int, n)
	for l := range m {
		for k := range 3 {
			base := l*stride + k
			for i := range line {
				line[i] = int(pix[base+i*step])
			}
			sum := 0
			at := func(i int) int { return line[max(0, min(n-1, i))] }
			for i := -radius; i <= radius; i++ {
				sum += at(i)
			}
			for i := range n {
				pix[base+i*step] = uint8(sum / (2*radius + 1))
				sum += at(i+radius+1) - at(i-radius)
			}
		}
	}
}
