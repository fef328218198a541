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
// Luma is ITU-R BT.601: 0.299 R + 0.587 G + 0.114 B, times 255.
func MeasureInput(input []float32, g Geometry) Stats {
	w, h := g.ScaledW, g.ScaledH
	rows := make([]float32, 3*w) // the last three rows of luma
	row := func(y int) []float32 { return rows[y%3*w : y%3*w+w] }
	var luma, laplacian moments
	for y := range h {
		r, gr, b := g.planes(input, y)
		l := row(y)
		gr, b, l = gr[:len(r)], b[:len(r)], l[:len(r)] // one length: no bounds are checked below
		var sum, squares float32                       // of a row: float32 holds it well enough
		for x, red := range r {
			v := 76.245*red + 149.685*gr[x] + 29.07*b[x]
			l[x] = v
			sum += v
			squares += v * v
		}
		luma.add(w, sum, squares)
		if y < 2 || w < 3 {
			continue
		}
		sum, squares = laplace(row(y-2), row(y-1), l)
		laplacian.add(w-2, sum, squares)
	}
	mean, variance := luma.of()
	_, sharp := laplacian.of()
	return Stats{Brightness: float32(mean), Contrast: float32(math.Sqrt(variance)), Sharpness: float32(sharp)}
}

// laplace sums the Laplacian of a row, and its squares.
func laplace(above, here, below []float32) (sum, squares float32) {
	n := len(here)
	above, below = above[:n], below[:n]
	left, middle := here[0], here[1]
	for x := 2; x < n; x++ {
		right := here[x]
		v := above[x-1] + below[x-1] + left + right - 4*middle
		sum += v
		squares += v * v
		left, middle = middle, right
	}
	return sum, squares
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
