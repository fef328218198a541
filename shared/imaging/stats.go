package imaging

import "math"

// Stats are what drift watches of a photo's look.
type Stats struct {
	Brightness float32 // mean luma, 0 to 255
	Contrast   float32 // standard deviation of luma
	Sharpness  float32 // variance of the Laplacian of luma
}

// measured is the size at which Measure looks: sharpness depends on it.
const measured = 640

// Measure looks at a photo scaled to fit 640 x 640, so that sharpness does not
// depend on the camera's resolution. MeasureInput is the same without the cost
// of scaling once more.
func Measure(im *Image) Stats {
	g := FitRect(im.W, im.H, measured, measured, 32)
	input := make([]float32, 3*g.InputW*g.InputH)
	g.Letterbox(input, im)
	return MeasureInput(input, g)
}

// MeasureInput looks at the photo inside a model's input, as Letterbox wrote it.
// Luma is ITU-R BT.601: 0.299 R + 0.587 G + 0.114 B.
func MeasureInput(input []float32, g Geometry) Stats {
	w, h := g.ScaledW, g.ScaledH
	rows := make([]float32, 3*w) // the last three rows of luma
	row := func(y int) []float32 { return rows[y%3*w : y%3*w+w] }
	var luma, laplacian moments
	for y := range h {
		r, gr, b := g.planes(input, y)
		l := row(y)
		var sum, squares float32 // of a row: float32 holds it well enough
		for x := range l {
			v := 255 * (0.299*r[x] + 0.587*gr[x] + 0.114*b[x])
			l[x] = v
			sum += v
			squares += v * v
		}
		luma.add(w, sum, squares)
		if y < 2 || w < 3 {
			continue
		}
		above, here := row(y-2), row(y-1)
		sum, squares = 0, 0
		for x := 1; x < w-1; x++ {
			v := above[x] + l[x] + here[x-1] + here[x+1] - 4*here[x]
			sum += v
			squares += v * v
		}
		laplacian.add(w-2, sum, squares)
	}
	mean, variance := luma.of()
	_, sharp := laplacian.of()
	return Stats{Brightness: float32(mean), Contrast: float32(math.Sqrt(variance)), Sharpness: float32(sharp)}
}

// moments sums values and their squares.
type moments struct {
	n            int
	sum, squares float64
}

func (m *moments) add(n int, sum, squares float32) {
	m.n += n
	m.sum += float64(sum)
	m.squares += float64(squares)
}

func (m *moments) of() (mean, variance float64) {
	if m.n == 0 {
		return 0, 0
	}
	mean = m.sum / float64(m.n)
	return mean, math.Max(m.squares/float64(m.n)-mean*mean, 0)
}
