package loss

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/litterloop/litterloop/shared/training/embedded/network"
)

const classes = 3

func newLoss() *Loss {
	return New(network.NewGrid(64, 64), classes, Weights{Box: 7.5, Class: 1})
}

func random(r *rand.Rand, n int, spread float64) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(r.NormFloat64() * spread)
	}
	return v
}

func targets(r *rand.Rand, n int) []Target {
	ts := make([]Target, n)
	for i := range ts {
		x, y := r.Float64()*50, r.Float64()*50
		ts[i] = Target{r.IntN(classes), [4]float64{x, y, x + 2 + r.Float64()*20, y + 2 + r.Float64()*20}}
	}
	return ts
}

// The assignment counts as a constant, so it is held while the output moves.
func TestGradient_equalsFiniteDifferences(t *testing.T) {
	l := newLoss()
	r := rand.New(rand.NewPCG(1, 2))
	raw := random(r, 2*l.imageSize(), 0.7)
	labels := [][]Target{targets(r, 4), targets(r, 2)}
	assigned := l.Assign(raw, labels, 0.3)
	const total = 3.5
	gradient := make([]float32, len(raw))
	l.Gradient(raw, labels, assigned, total, gradient)
	// The weight alpha of CIoU's aspect term counts as a constant too.
	each := func(visit func(out []float32, a assignment, box [4]float64, i int)) {
		i := 0
		for n := range assigned.images {
			for _, a := range assigned.images[n] {
				visit(raw[n*l.imageSize():(n+1)*l.imageSize()], a, labels[n][a.target].Box, i)
				i++
			}
		}
	}
	var alphas []float64
	each(func(out []float32, a assignment, box [4]float64, _ int) {
		alphas = append(alphas, alphaOf(l.box(out, a.anchor), box))
	})
	value := func() float64 {
		sum := l.Gradient(raw, labels, assigned, total, make([]float32, len(raw))).Class
		each(func(out []float32, a assignment, box [4]float64, i int) {
			sum += 7.5 * a.score / total * (1 - ciouWithAlpha(l.box(out, a.anchor), box, alphas[i]))
		})
		return sum
	}
	const h = 1e-3
	checked := 0
	for i, g := range gradient {
		if g == 0 {
			continue
		}
		old := raw[i]
		raw[i] = old + h
		plus, hi := value(), raw[i]
		raw[i] = old - h
		minus, lo := value(), raw[i]
		raw[i] = old
		numeric := (plus - minus) / float64(hi-lo)
		if diff := math.Abs(numeric - float64(g)); diff > 1e-4+1e-3*math.Abs(numeric) {
			t.Errorf("raw output %d: gradient %g, finite difference %g", i, g, numeric)
		}
		checked++
	}
	if want := 2 * classes * l.grid.Len(); checked < want {
		t.Errorf("%d outputs have a gradient, want at least the %d class logits", checked, want)
	}
}

func TestCIoU_derivativesAreExact(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 500 {
		label := targets(r, 1)[0].Box
		var p [4]dual
		for i := range p {
			p[i].v = label[i] + r.NormFloat64()*4
			p[i].d[i] = 1
		}
		if p[2].v-p[0].v < 0.5 || p[3].v-p[1].v < 0.5 {
			continue
		}
		got := ciou(p, label)
		alpha := alphaOf(p, label)
		for i := range p {
			const h = 1e-5
			at := func(d float64) float64 {
				q := p
				q[i].v += d
				return ciouWithAlpha(q, label, alpha)
			}
			numeric := (at(h) - at(-h)) / (2 * h)
			if math.Abs(numeric-got.d[i]) > 1e-5*(1+math.Abs(numeric)) {
				t.Fatalf("CIoU of %v with %v by coordinate %d: derivative %g, finite difference %g", p, label, i, got.d[i], numeric)
			}
		}
	}
}

// alphaOf and ciouWithAlpha are the formula again, plainly, with alpha held.
func alphaOf(p [4]dual, b [4]float64) float64 {
	v := aspect(p, b)
	return v / (1 - overlap(p, b) + v + tiny)
}

func aspect(p [4]dual, b [4]float64) float64 {
	d := math.Atan((b[2]-b[0])/(b[3]-b[1]+tiny)) - math.Atan((p[2].v-p[0].v)/(p[3].v-p[1].v+tiny))
	return 4 / (math.Pi * math.Pi) * d * d
}

func overlap(p [4]dual, b [4]float64) float64 {
	return iou([4]float64{p[0].v, p[1].v, p[2].v, p[3].v}, b)
}

func ciouWithAlpha(p [4]dual, b [4]float64, alpha float64) float64 {
	w, h := math.Max(p[2].v, b[2])-math.Min(p[0].v, b[0]), math.Max(p[3].v, b[3])-math.Min(p[1].v, b[1])
	dx, dy := (p[0].v+p[2].v-b[0]-b[2])/2, (p[1].v+p[3].v-b[1]-b[3])/2
	return overlap(p, b) - (dx*dx+dy*dy)/(w*w+h*h) - alpha*aspect(p, b)
}

func TestAssign_everyLabelFindsAnAnchor(t *testing.T) {
	l := newLoss()
	r := rand.New(rand.NewPCG(5, 6))
	raw := random(r, l.imageSize(), 0.5)
	for _, c := range []struct {
		name string
		box  [4]float64
	}{
		{"one pixel", [4]float64{30, 30, 31, 31}},
		{"one pixel in the corner", [4]float64{0, 0, 1, 1}},
		{"one pixel in the far corner", [4]float64{63, 63, 64, 64}},
		{"a thin line", [4]float64{2, 40, 60, 41}},
		{"the whole input", [4]float64{0, 0, 64, 64}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := l.assign(raw, []Target{{1, c.box}}, 0.3)
			best := 0.0
			for _, a := range got {
				best = math.Max(best, a.score)
			}
			if len(got) == 0 || len(got) > candidates || best < 0.3-1e-9 || best > 1 {
				t.Errorf("assigned %v, want 1 to %d anchors, the best with a score from 0.3 to 1", got, candidates)
			}
		})
	}
}

func TestAssign_anAnchorAnswersForTheLabelItOverlapsMost(t *testing.T) {
	l := newLoss()
	raw := random(rand.New(rand.NewPCG(7, 8)), l.imageSize(), 0.5)
	// Two labels on the same anchors: one like what the anchors predict, one larger.
	small, large := Target{0, [4]float64{20, 20, 44, 44}}, Target{0, [4]float64{18, 18, 46, 46}}
	seen := map[int]int{}
	for _, a := range l.assign(raw, []Target{small, large}, 0.3) {
		seen[a.anchor]++
		u := [2]float64{iou(l.grid.Box(raw, a.anchor), small.Box), iou(l.grid.Box(raw, a.anchor), large.Box)}
		if u[a.target] < u[1-a.target] {
			// Allowed only where the other label did not want the anchor.
			for _, c := range l.candidates(raw, []Target{small, large}[1-a.target], 1-a.target) {
				if c.anchor == a.anchor {
					t.Errorf("anchor %d answers for label %d of IoU %g, not for the one of %g", a.anchor, a.target, u[a.target], u[1-a.target])
				}
			}
		}
	}
	for anchor, n := range seen {
		if n > 1 {
			t.Errorf("anchor %d answers for %d labels", anchor, n)
		}
	}
}

func TestGradient_withoutLabelsTeachesEmptiness(t *testing.T) {
	l := newLoss()
	raw := random(rand.New(rand.NewPCG(9, 10)), l.imageSize(), 1)
	gradient := random(rand.New(rand.NewPCG(1, 1)), l.imageSize(), 1) // must be overwritten
	v := l.Gradient(raw, [][]Target{nil}, l.Assign(raw, [][]Target{nil}, 0.3), 0, gradient)
	if v.Box != 0 || v.Positives != 0 || v.Class <= 0 {
		t.Errorf("loss %+v, want a class loss alone", v)
	}
	for i, g := range gradient {
		if box := i < 4*l.grid.Len(); box && g != 0 || !box && g <= 0 {
			t.Fatalf("gradient %d is %g", i, g)
		}
	}
}

func TestGradient_ofAThousandLabelsIsFinite(t *testing.T) {
	l := newLoss()
	r := rand.New(rand.NewPCG(11, 12))
	raw := random(r, l.imageSize(), 30) // saturates every clamp
	gradient := make([]float32, len(raw))
	labels := [][]Target{targets(r, 1000)}
	assigned := l.Assign(raw, labels, 0.3)
	l.Gradient(raw, labels, assigned, assigned.Score, gradient)
	for i, g := range gradient {
		if math.IsNaN(float64(g)) || math.IsInf(float64(g), 0) {
			t.Fatalf("gradient %d is %g", i, g)
		}
	}
}

func TestSpan_holdsExactlyTheAnchorsInReach(t *testing.T) {
	r := rand.New(rand.NewPCG(13, 14))
	for range 1000 {
		c, reach := r.Float64()*80-8, r.Float64()*30
		from, to := span(c, reach, 8, 8)
		var got, want []int
		for i := from; i < to; i++ {
			got = append(got, i)
		}
		for i := range 8 {
			if math.Abs((float64(i)+0.5)*8-c) <= reach {
				want = append(want, i)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("within %g of %g (-want +got):\n%s", reach, c, diff)
		}
	}
}
