package loss

import (
	"cmp"
	"math"
	"slices"
)

const (
	// candidates is how many anchors may answer for one label.
	candidates = 10
	// reach is how far from a small label's centre, in strides of the finest
	// map, an anchor may lie and still answer for it; without it a label
	// smaller than the distance of the anchors would have none.
	reach = 0.8
)

// assignment makes an anchor answer for a label with a class score to learn.
type assignment struct {
	anchor, target int
	score          float64
}

type candidate struct {
	anchor, target int
	iou, alignment float64
}

// assign chooses the anchors that answer for each label of one image: those
// near its centre whose score and box already agree with it best. An anchor
// answers for one label, the one it overlaps most.
func (l *Loss) assign(raw []float32, targets []Target, floor float64) []assignment {
	best := map[int]candidate{}
	for t := range targets {
		for _, c := range l.candidates(raw, targets[t], t) {
			if old, taken := best[c.anchor]; !taken || c.iou > old.iou {
				best[c.anchor] = c
			}
		}
	}
	top := make([]candidate, len(targets)) // the highest alignment and IoU of each label
	chosen := make([]candidate, 0, len(best))
	for _, c := range best {
		t := &top[c.target]
		t.alignment, t.iou = math.Max(t.alignment, c.alignment), math.Max(t.iou, c.iou)
		chosen = append(chosen, c)
	}
	slices.SortFunc(chosen, func(a, b candidate) int { return cmp.Compare(a.anchor, b.anchor) })
	assigned := make([]assignment, len(chosen))
	for i, c := range chosen {
		t := top[c.target]
		assigned[i] = assignment{c.anchor, c.target, c.alignment / t.alignment * math.Max(t.iou, floor)}
	}
	return assigned
}

// candidates are a label's best aligned anchors, best first.
func (l *Loss) candidates(raw []float32, target Target, index int) []candidate {
	g, b := l.grid, target.Box
	cx, cy := (b[0]+b[2])/2, (b[1]+b[3])/2
	var found []candidate
	for i, level := range g.Levels {
		rx, ry := (b[2]-b[0])/2, (b[3]-b[1])/2
		if i == 0 { // the finest
			rx, ry = math.Max(rx, reach*float64(level.Stride)), math.Max(ry, reach*float64(level.Stride))
		}
		x0, x1 := span(cx, rx, level.Stride, level.Width)
		y0, y1 := span(cy, ry, level.Stride, level.Height)
		for y := y0; y < y1; y++ {
			for x := x0; x < x1; x++ {
				a := level.First + y*level.Width + x
				dx, dy := (g.X[a]-cx)/rx, (g.Y[a]-cy)/ry
				d2 := dx*dx + dy*dy
				u := iou(g.Box(raw, a), b)
				score := 1 / (1 + math.Exp(-float64(raw[(4+target.Class)*g.Len()+a])))
				// The last term decides where no box overlaps yet: the nearest to the centre.
				alignment := math.Sqrt(score)*math.Pow(u, 4)*math.Exp(-d2/2) + 1e-9*math.Exp(-d2)
				found = append(found, candidate{a, index, u, alignment})
			}
		}
	}
	slices.SortFunc(found, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(b.alignment, a.alignment), cmp.Compare(a.anchor, b.anchor))
	})
	return found[:min(len(found), candidates)]
}

// span is the range of grid positions whose centres lie within r of c.
func span(c, r float64, stride, n int) (from, to int) {
	s := float64(stride)
	from = int(math.Ceil((c-r)/s - 0.5))
	to = int(math.Floor((c+r)/s-0.5)) + 1
	return min(max(from, 0), n), min(max(to, 0), n)
}
