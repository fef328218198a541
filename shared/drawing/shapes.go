package drawing

import (
	"math"
	"math/rand/v2"
)

// shape gives opacity and colour at u, v in [-1, 1], v along the long axis.
type shape func(u, v float64) (alpha float64, colour rgb)

// newShape draws the looks of one object of a class, and its width over length.
func newShape(r *rand.Rand, class int) (shape, float64) {
	between := func(a, b float64) float64 { return a + (b-a)*r.Float64() }
	switch Classes[class] {
	case "bottle":
		return bottle(r, between), between(0.28, 0.38)
	case "can":
		return can(r, between), between(0.5, 0.62)
	case "paper":
		return paper(between), between(0.65, 0.95)
	case "bag":
		return bag(r, between), between(0.75, 1)
	default:
		return cigarette, between(0.13, 0.18)
	}
}

func bottle(r *rand.Rand, between func(a, b float64) float64) shape {
	body := []rgb{{60, 140, 90}, {110, 170, 210}, {120, 80, 30}, {200, 220, 230}}[r.IntN(4)]
	lid := rgb{between(0, 255), between(0, 255), between(0, 255)}
	label := rgb{between(100, 255), between(0, 200), between(0, 200)}
	alpha := between(0.65, 0.95)
	return func(u, v float64) (float64, rgb) {
		width := 1.0
		switch {
		case v < -0.75:
			width = 0.36
		case v < -0.35:
			width = 0.36 + 0.64*(v+0.75)/0.4
		}
		if math.Abs(u) > width || math.Abs(v) > 1 {
			return 0, body
		}
		light := 1 - 0.5*math.Abs(u/width+0.3)
		switch {
		case v < -0.86:
			return 1, lid
		case v > 0 && v < 0.5:
			return 0.95, label.times(light)
		}
		return alpha, rgb{(body[0] + 50) * light, (body[1] + 50) * light, (body[2] + 50) * light}
	}
}

func can(r *rand.Rand, between func(a, b float64) float64) shape {
	body := []rgb{{200, 30, 30}, {30, 60, 180}, {30, 150, 60}, {220, 180, 40}, {40, 40, 40}}[r.IntN(5)]
	stripe := between(-0.5, 0.3)
	return func(u, v float64) (float64, rgb) {
		if math.Abs(u) > 1 || math.Abs(v) > 1-0.08*u*u {
			return 0, body
		}
		light := 0.6 + 0.6*math.Exp(-8*(u+0.35)*(u+0.35))
		switch {
		case math.Abs(v) > 0.86:
			return 1, rgb{190, 190, 190}.times(light)
		case v > stripe && v < stripe+0.3:
			return 1, rgb{230, 230, 220}.times(light)
		}
		return 1, body.times(light)
	}
}

func paper(between func(a, b float64) float64) shape {
	phase, white := between(0, 6), between(205, 250)
	lines, skew := between(5, 9), between(-0.25, 0.25)
	return func(u, v float64) (float64, rgb) {
		x := u + skew*v
		if math.Abs(x) > 0.82+0.1*math.Sin(5*v+phase) || math.Abs(v) > 0.85+0.1*math.Sin(4*u+2*phase) {
			return 0, rgb{}
		}
		s := white + 12*math.Sin(6*u+3*v+phase)
		if math.Mod(v+2, 2/lines) < 0.07 && math.Abs(x) < 0.6 { // writing
			s -= 70
		}
		return 1, rgb{s, s, s - 8}
	}
}

func bag(r *rand.Rand, between func(a, b float64) float64) shape {
	bulge, crumple := between(0.05, 0.2), between(0.05, 0.15)
	p, q := between(0, 6), between(0, 6)
	body := []rgb{{235, 235, 240}, {60, 110, 210}, {30, 30, 35}, {220, 90, 120}}[r.IntN(4)]
	alpha := between(0.55, 0.85)
	return func(u, v float64) (float64, rgb) {
		a, d := math.Atan2(v, u), math.Hypot(u, v)
		if d > 0.75+bulge*math.Sin(3*a+p)+crumple*math.Sin(7*a+q) {
			return 0, body
		}
		fold := 25 * math.Sin(11*a+9*d+p)
		return alpha, rgb{body[0] + fold, body[1] + fold, body[2] + fold}
	}
}

func cigarette(u, v float64) (float64, rgb) {
	if math.Abs(u) > 1 || math.Abs(v) > 1 {
		return 0, rgb{}
	}
	light := 1 - 0.3*math.Abs(u)
	switch {
	case v > 0.3:
		return 1, rgb{215, 140, 60}.times(light)
	case v < -0.88:
		return 1, rgb{70, 65, 60}
	}
	return 1, rgb{245, 243, 238}.times(light)
}
