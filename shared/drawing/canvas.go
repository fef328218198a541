package drawing

import (
	"math"
	"math/rand/v2"
)

type rgb [3]float64

func (c rgb) times(k float64) rgb { return rgb{c[0] * k, c[1] * k, c[2] * k} }

// canvas is an RGB picture under the brush.
type canvas struct{ pix []uint8 }

var grounds = [][2]rgb{
	{{50, 90, 35}, {110, 140, 70}},     // grass
	{{170, 150, 110}, {215, 195, 155}}, // sand
	{{80, 80, 85}, {130, 130, 130}},    // asphalt
	{{90, 65, 45}, {140, 110, 80}},     // soil
}

func newCanvas(r *rand.Rand) *canvas {
	c := &canvas{make([]uint8, 3*Width*Height)}
	g := grounds[r.IntN(len(grounds))]
	coarse, middle, fine := newNoise(r, 5), newNoise(r, 20), newNoise(r, 90)
	for y := range Height {
		for x := range Width {
			fx, fy := float64(x)/Width, float64(y)/Width
			t := 0.45*coarse.at(fx, fy) + 0.3*middle.at(fx, fy) + 0.25*fine.at(fx, fy)
			grain := 14 * (r.Float64() - 0.5)
			for k := range 3 {
				c.pix[3*(y*Width+x)+k] = clamp(g[0][k]*(1-t) + g[1][k]*t + grain)
			}
		}
	}
	return c
}

// distractors paints leaves and stones, which are not litter.
func (c *canvas) distractors(r *rand.Rand) {
	for range r.IntN(7) {
		grey := 60 + 100*r.Float64()
		colour := rgb{grey, grey, grey}
		if r.IntN(2) == 0 {
			colour = rgb{grey, 0.8 * grey, 0.3 * grey}
		}
		power := 1 + 2*r.Float64()
		leaf := func(u, v float64) (float64, rgb) {
			if math.Pow(math.Abs(u), power)+v*v > 1 {
				return 0, colour
			}
			return 1, colour.times(1 - 0.3*u)
		}
		c.paint(leaf, Width*r.Float64(), Height*r.Float64(), Height*(0.03+0.08*r.Float64()), 0.4+0.5*r.Float64(), 2*math.Pi*r.Float64())
	}
}

// paint draws s with its long half axis half, turned by angle, with 2x2
// samples a pixel; it returns the box of what is clearly visible and its area.
func (c *canvas) paint(s shape, cx, cy, half, aspect, angle float64) (b Box, n int) {
	cos, sin := math.Cos(angle), math.Sin(angle)
	reach := half * 1.45
	b = Box{X1: Width, Y1: Height}
	for y := max(0, int(cy-reach)); y <= min(Height-1, int(cy+reach)); y++ {
		for x := max(0, int(cx-reach)); x <= min(Width-1, int(cx+reach)); x++ {
			var alpha float64
			var colour rgb
			for i := range 4 {
				dx := float64(x) + 0.25 + 0.5*float64(i&1) - cx
				dy := float64(y) + 0.25 + 0.5*float64(i>>1) - cy
				a, col := s((dx*cos+dy*sin)/(half*aspect), (-dx*sin+dy*cos)/half)
				alpha += a / 4
				for k := range colour {
					colour[k] += a * col[k] / 4
				}
			}
			if alpha < 0.02 {
				continue
			}
			p := c.pix[3*(y*Width+x):]
			for k := range 3 {
				p[k] = clamp(float64(p[k])*(1-alpha) + colour[k])
			}
			if alpha > 0.25 {
				n++
				b.X1, b.Y1 = min(b.X1, float64(x)), min(b.Y1, float64(y))
				b.X2, b.Y2 = max(b.X2, float64(x+1)), max(b.Y2, float64(y+1))
			}
		}
	}
	return b, n
}

func clamp(x float64) uint8 { return uint8(max(0, min(255, x))) }

// noise is value noise on a grid of n cells a side.
type noise struct {
	grid []float64
	n    int
}

func newNoise(r *rand.Rand, n int) noise {
	v := noise{make([]float64, (n+1)*(n+1)), n}
	for i := range v.grid {
		v.grid[i] = r.Float64()
	}
	return v
}

// at interpolates bilinearly at x, y in [0, 1).
func (v noise) at(x, y float64) float64 {
	x, y = x*float64(v.n), y*float64(v.n)
	i, j := min(int(x), v.n-1), min(int(y), v.n-1)
	fx, fy := x-float64(i), y-float64(j)
	row := v.n + 1
	top := v.grid[j*row+i]*(1-fx) + v.grid[j*row+i+1]*fx
	bottom := v.grid[(j+1)*row+i]*(1-fx) + v.grid[(j+1)*row+i+1]*fx
	return top*(1-fy) + bottom*fy
}
