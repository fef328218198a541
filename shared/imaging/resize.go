package imaging

import "math"

// tap is one output coordinate: two source coordinates and their 11-bit
// weights.
type tap struct {
	i, j int
	a, b int32
}

func sameTaps(taps []tap, _, _ int, _ bool) {
	for d := range taps {
		taps[d] = tap{i: d, j: d}
	}
}

func halfTaps(taps []tap, _, _ int, _ bool) {
	for d := range taps {
		taps[d] = tap{i: 2 * d, j: 2*d + 1}
	}
}

// bilinearTaps reproduces OpenCV's coefficient tables for 8-bit INTER_LINEAR.
// Beyond the border it resets the weight in x, but only repeats the row in y.
func bilinearTaps(taps []tap, src, dst int, vertical bool) {
	scale := 1 / (float64(dst) / float64(src)) // OpenCV inverts the inverse: the last bit differs from src/dst
	for d := range taps {
		f := float32((float64(d)+0.5)*scale - 0.5)
		s := int(math.Floor(float64(f)))
		f -= float32(s)
		if !vertical && (s < 0 || s >= src-1) {
			s, f = min(max(s, 0), src-1), 0
		}
		taps[d] = tap{
			i: min(max(s, 0), src-1), j: min(max(s+1, 0), src-1),
			a: int32(math.RoundToEven(float64((1 - f) * 2048))),
			b: int32(math.RoundToEven(float64(f * 2048))),
		}
	}
}

// flip mirrors the source of n rows or columns.
func flip(taps []tap, n int) {
	for d := range taps {
		taps[d].i, taps[d].j = n-1-taps[d].i, n-1-taps[d].j
	}
}

// resizer makes a line of pixels from two rows p and q of weights a and b, at
// the columns of cols.
type resizer func(line, p, q []byte, cols []tap, a, b int32)

func same(line, p, _ []byte, cols []tap, _, _ int32) {
	for x, c := range cols {
		copy(line[3*x:3*x+3], p[c.i:c.i+3])
	}
}

// halve is OpenCV's own shortcut: at exactly half size INTER_LINEAR is the mean
// of four pixels.
func halve(line, p, q []byte, cols []tap, _, _ int32) {
	for x, c := range cols {
		for k := range 3 {
			line[3*x+k] = uint8((int(p[c.i+k]) + int(p[c.j+k]) + int(q[c.i+k]) + int(q[c.j+k]) + 2) >> 2)
		}
	}
}

func bilinear(line, p, q []byte, cols []tap, a, b int32) {
	for x, c := range cols {
		p0, p1 := p[c.i:c.i+3:c.i+3], p[c.j:c.j+3:c.j+3]
		q0, q1 := q[c.i:c.i+3:c.i+3], q[c.j:c.j+3:c.j+3]
		px := line[3*x : 3*x+3 : 3*x+3]
		px[0] = blend(int32(p0[0])*c.a+int32(p1[0])*c.b, int32(q0[0])*c.a+int32(q1[0])*c.b, a, b)
		px[1] = blend(int32(p0[1])*c.a+int32(p1[1])*c.b, int32(q0[1])*c.a+int32(q1[1])*c.b, a, b)
		px[2] = blend(int32(p0[2])*c.a+int32(p1[2])*c.b, int32(q0[2])*c.a+int32(q1[2])*c.b, a, b)
	}
}

// bilinearTransposed is bilinear on stored rows that are displayed as columns:
// OpenCV interpolates across the displayed photo first, which is down the
// stored one, and rounding shows the order.
func bilinearTransposed(line, p, q []byte, cols []tap, a, b int32) {
	for x, c := range cols {
		p0, p1 := p[c.i:c.i+3:c.i+3], p[c.j:c.j+3:c.j+3]
		q0, q1 := q[c.i:c.i+3:c.i+3], q[c.j:c.j+3:c.j+3]
		px := line[3*x : 3*x+3 : 3*x+3]
		px[0] = blend(int32(p0[0])*a+int32(q0[0])*b, int32(p1[0])*a+int32(q1[0])*b, c.a, c.b)
		px[1] = blend(int32(p0[1])*a+int32(q0[1])*b, int32(p1[1])*a+int32(q1[1])*b, c.a, c.b)
		px[2] = blend(int32(p0[2])*a+int32(q0[2])*b, int32(p1[2])*a+int32(q1[2])*b, c.a, c.b)
	}
}

// blend is OpenCV's vertical pass: it drops bits before and between, so the
// order of shifts matters.
func blend(p, q, a, b int32) uint8 {
	return uint8((a*(p>>4)>>16 + b*(q>>4)>>16 + 2) >> 2)
}
