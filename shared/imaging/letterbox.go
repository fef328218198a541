package imaging

import "fmt"

// unit is v/255 for every byte.
var unit = func() (t [256]float32) {
	for i := range t {
		t[i] = float32(i) / 255
	}
	return t
}()

// padding is the grey that Ultralytics puts around a photo.
const padding = 114

// Letterbox writes im, of the photo's size of g, into dst (3 planes of
// InputH x InputW: R, G, B from 0 to 1). It resizes as OpenCV's INTER_LINEAR on 8 bits.
func (g Geometry) Letterbox(dst []float32, im *Image) {
	if im.W != g.PhotoW || im.H != g.PhotoH {
		panic(fmt.Sprintf("imaging: letterbox of %dx%d, planned for %dx%d", im.W, im.H, g.PhotoW, g.PhotoH))
	}
	var s sampler
	s.plan(g, 1)
	_ = s.write(dst, pixels{im.Pix, im.W}) // rows in memory cannot fail
}

// sampler writes photos into inputs, row by row as they are stored, and turns
// them on the way. It keeps its memory for the next photo.
type sampler struct {
	geometry   Geometry
	resize     resizer // nil: a line is a row
	rows, cols []tap   // of the stored photo, in displayed order
	transposed bool    // stored rows are displayed as columns
	upwards    bool    // the last displayed line comes first in the stored photo
	line       []byte
}

// rowPair gives the stored photo's rows i and j, which are the same, neighbours,
// or in exactly half size two that follow; asked for from the top downwards.
type rowPair interface {
	pair(i, j int) (p, q []byte, err error)
}

// pixels are rows in memory.
type pixels struct {
	pix []byte
	w   int
}

func (p pixels) pair(i, j int) ([]byte, []byte, error) {
	n := 3 * p.w
	return p.pix[i*n : i*n+n], p.pix[j*n : j*n+n], nil
}

// plan prepares for a photo that is displayed as g says, stored with an EXIF
// orientation.
func (s *sampler) plan(g Geometry, orientation int) {
	s.geometry = g
	s.transposed = orientation >= 5
	var kind func(taps []tap, src, dst int, vertical bool)
	switch {
	case g.PhotoW == g.ScaledW && g.PhotoH == g.ScaledH:
		s.resize, kind = same, sameTaps
	case g.PhotoW == 2*g.ScaledW && g.PhotoH == 2*g.ScaledH:
		s.resize, kind = halve, halfTaps
	default:
		s.resize, kind = bilinear, bilinearTaps
		if s.transposed {
			s.resize = bilinearTransposed
		}
	}
	across, down := grow(s.cols, g.ScaledW), grow(s.rows, g.ScaledH)
	kind(across, g.PhotoW, g.ScaledW, false)
	kind(down, g.PhotoH, g.ScaledH, true)
	flipAcross, flipDown := false, false // of the stored photo
	switch orientation {
	case 2, 7:
		flipAcross, flipDown = true, orientation == 7
	case 3:
		flipAcross, flipDown = true, true
	case 4:
		flipDown = true
	case 6:
		flipAcross = true
	case 8:
		flipDown = true
	}
	if flipAcross {
		flip(across, g.PhotoW)
	}
	if flipDown {
		flip(down, g.PhotoH)
	}
	s.cols, s.rows, s.upwards = across, down, flipDown
	if s.transposed {
		s.cols, s.rows, s.upwards = down, across, flipAcross
	}
	for i := range s.cols { // offsets of bytes
		s.cols[i].i *= 3
		s.cols[i].j *= 3
	}
	if s.line = grow(s.line, 3*len(s.cols)); g.PhotoW == g.ScaledW && g.PhotoH == g.ScaledH && s.cols[0].i == 0 {
		s.resize = nil
	}
}

// write fills dst with the photo whose rows are given, and grey around it.
func (s *sampler) write(dst []float32, photo rowPair) error {
	g := s.geometry
	if plane := g.InputW * g.InputH; len(dst) < 3*plane {
		panic(fmt.Sprintf("imaging: letterbox into %d values, %dx%dx3 are needed", len(dst), g.InputW, g.InputH))
	} else if g.ScaledW != g.InputW || g.ScaledH != g.InputH {
		grey := unit[padding]
		for i := range dst[:3*plane] {
			dst[i] = grey
		}
	}
	for n := range s.rows {
		at := n
		if s.upwards {
			at = len(s.rows) - 1 - n
		}
		t := s.rows[at]
		p, q, err := photo.pair(t.i, t.j)
		if err != nil {
			return err
		}
		line := p // as it is, where nothing changes
		if s.resize != nil {
			line = s.line
			s.resize(line, p, q, s.cols, t.a, t.b)
		}
		if s.transposed {
			g.putColumn(dst, at, line)
		} else {
			g.putRow(dst, at, line)
		}
	}
	return nil
}

// planes returns row y of the photo in each plane of dst.
func (g Geometry) planes(dst []float32, y int) (r, gr, b []float32) {
	plane, row := g.InputW*g.InputH, (g.Top+y)*g.InputW+g.Left
	cut := func(c int) []float32 { return dst[c*plane+row : c*plane+row+g.ScaledW] }
	return cut(0), cut(1), cut(2)
}

// putRow writes a line of pixels as row y of the photo.
func (g Geometry) putRow(dst []float32, y int, line []byte) {
	r, gr, b := g.planes(dst, y)
	gr, b, line = gr[:len(r)], b[:len(r)], line[:3*len(r)]
	for x := range r {
		px := line[3*x : 3*x+3 : 3*x+3]
		r[x], gr[x], b[x] = unit[px[0]], unit[px[1]], unit[px[2]]
	}
}

// putColumn writes a line of pixels as column x of the photo.
func (g Geometry) putColumn(dst []float32, x int, line []byte) {
	plane := g.InputW * g.InputH
	k := g.Top*g.InputW + g.Left + x
	for y := range g.ScaledH {
		px := line[3*y : 3*y+3 : 3*y+3]
		dst[k], dst[plane+k], dst[2*plane+k] = unit[px[0]], unit[px[1]], unit[px[2]]
		k += g.InputW
	}
}

// grow returns a slice of n, in s's memory where that suffices.
func grow[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}
