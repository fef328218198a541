package imaging

import (
	"fmt"
	"math"
)

// unit is v/255 for every byte.
var unit = func() (t [256]float32) {
	for i := range t {
		t[i] = float32(i) / 255
	}
	return t
}()

// padding is the grey that Ultralytics puts around a photo.
const padding = 114

// Letterbox writes im into dst, a model input of 3 planes (R, G, B) of w x h
// values from 0 to 1, and returns where it lies.
func Letterbox(dst []float32, im *Image, w, h int) Geometry {
	g := Fit(im.W, im.H, w, h)
	g.Letterbox(dst, im)
	return g
}

// Letterbox writes im, of the photo's size of g, into dst (3 planes of
// InputH x InputW). It resizes as OpenCV's INTER_LINEAR on 8 bits.
func (g Geometry) Letterbox(dst []float32, im *Image) {
	plane := g.InputW * g.InputH
	if im.W != g.PhotoW || im.H != g.PhotoH || len(dst) < 3*plane {
		panic(fmt.Sprintf("imaging: letterbox of %dx%d into %d values, planned for %dx%d into %dx%dx3", im.W, im.H, len(dst), g.PhotoW, g.PhotoH, g.InputW, g.InputH))
	}
	if g.ScaledW != g.InputW || g.ScaledH != g.InputH {
		grey := unit[padding]
		for i := range dst[:3*plane] {
			dst[i] = grey
		}
	}
	switch {
	case im.W == g.ScaledW && im.H == g.ScaledH:
		g.copy(dst, im)
	case im.W == 2*g.ScaledW && im.H == 2*g.ScaledH:
		g.halve(dst, im)
	default:
		g.bilinear(dst, im)
	}
}

// planes returns row y of the photo in each plane of dst.
func (g Geometry) planes(dst []float32, y int) (r, gr, b []float32) {
	plane, row := g.InputW*g.InputH, (g.Top+y)*g.InputW+g.Left
	cut := func(c int) []float32 { return dst[c*plane+row : c*plane+row+g.ScaledW] }
	return cut(0), cut(1), cut(2)
}

func (g Geometry) copy(dst []float32, im *Image) {
	for y := range g.ScaledH {
		r, gr, b := g.planes(dst, y)
		src := im.Pix[3*y*im.W:]
		for x := range r {
			r[x], gr[x], b[x] = unit[src[3*x]], unit[src[3*x+1]], unit[src[3*x+2]]
		}
	}
}

// halve is OpenCV's own shortcut: at exactly half size INTER_LINEAR is the mean
// of four pixels.
func (g Geometry) halve(dst []float32, im *Image) {
	for y := range g.ScaledH {
		r, gr, b := g.planes(dst, y)
		p, q := im.Pix[6*y*im.W:], im.Pix[6*y*im.W+3*im.W:]
		for x := range r {
			k := 6 * x
			mean := func(c int) float32 {
				return unit[(int(p[k+c])+int(p[k+c+3])+int(q[k+c])+int(q[k+c+3])+2)>>2]
			}
			r[x], gr[x], b[x] = mean(0), mean(1), mean(2)
		}
	}
}

// tap is one output coordinate: two source indexes and their 11-bit weights.
type tap struct {
	i, j int // byte offset of the first and second source pixel or row
	a, b int32
}

// taps reproduces OpenCV's coefficient tables for 8-bit INTER_LINEAR. Beyond
// the border it resets the weight in x, but only repeats the row in y.
func taps(src, dst, step int, vertical bool) []tap {
	out := make([]tap, dst)
	scale := 1 / (float64(dst) / float64(src)) // OpenCV inverts the inverse: the last bit differs from src/dst
	for d := range out {
		f := float32((float64(d)+0.5)*scale - 0.5)
		s := int(math.Floor(float64(f)))
		f -= float32(s)
		if !vertical && (s < 0 || s >= src-1) {
			s, f = min(max(s, 0), src-1), 0
		}
		out[d] = tap{
			i: step * min(max(s, 0), src-1), j: step * min(max(s+1, 0), src-1),
			a: int32(math.RoundToEven(float64((1 - f) * 2048))),
			b: int32(math.RoundToEven(float64(f * 2048))),
		}
	}
	return out
}

func (g Geometry) bilinear(dst []float32, im *Image) {
	xs, ys := taps(im.W, g.ScaledW, 3, false), taps(im.H, g.ScaledH, 3*im.W, true)
	for y, v := range ys {
		r, gr, b := g.planes(dst, y)
		p, q := im.Pix[v.i:v.i+3*im.W], im.Pix[v.j:v.j+3*im.W]
		for x, h := range xs {
			p0, p1 := p[h.i:h.i+3:h.i+3], p[h.j:h.j+3:h.j+3]
			q0, q1 := q[h.i:h.i+3:h.i+3], q[h.j:h.j+3:h.j+3]
			r[x] = unit[blend(int32(p0[0])*h.a+int32(p1[0])*h.b, int32(q0[0])*h.a+int32(q1[0])*h.b, v.a, v.b)]
			gr[x] = unit[blend(int32(p0[1])*h.a+int32(p1[1])*h.b, int32(q0[1])*h.a+int32(q1[1])*h.b, v.a, v.b)]
			b[x] = unit[blend(int32(p0[2])*h.a+int32(p1[2])*h.b, int32(q0[2])*h.a+int32(q1[2])*h.b, v.a, v.b)]
		}
	}
}

// blend is OpenCV's vertical pass: it drops bits before and between, so the
// order of shifts matters.
func blend(p, q, a, b int32) uint8 {
	return uint8((a*(p>>4)>>16 + b*(q>>4)>>16 + 2) >> 2)
}
