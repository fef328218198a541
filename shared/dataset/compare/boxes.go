package compare

import (
	"cmp"
	"math"
	"slices"

	"github.com/litterloop/litterloop/shared/dataset"
)

// sameObject is the overlap (intersection over union) from which two boxes are
// taken for one object, the usual threshold of detection.
const sameObject = 0.5

// samePixels is how far two edges may be apart and still be the same: what a
// label file rounds.
const samePixels = 0.01

// classes counts boxes by class, over two versions with lists of their own.
type classes struct {
	rows          []Class
	before, after []int // from a version's class to its row
}

func newClasses(from, to []string) *classes {
	c := &classes{}
	row := map[string]int{}
	for i, name := range to {
		row[name] = i
		c.after = append(c.after, i)
		c.rows = append(c.rows, Class{Name: name, Change: Added})
	}
	for _, name := range from {
		i, ok := row[name]
		if ok {
			c.rows[i].Change = ""
		} else {
			i = len(c.rows)
			c.rows = append(c.rows, Class{Name: name, Change: Removed})
		}
		c.before = append(c.before, i)
	}
	return c
}

// match pairs a photo's boxes, best overlap first and the same class before
// others, and counts what became of them.
func (c *classes) match(before, after []dataset.Box) Boxes {
	n := Boxes{Before: len(before), After: len(after)}
	type pair struct {
		i, j    int
		overlap float64
		same    bool // class
	}
	var pairs []pair
	for i, b := range before {
		c.rows[c.before[b.Class]].Before++
		for j, a := range after {
			if o := overlap(b, a); o >= sameObject {
				pairs = append(pairs, pair{i, j, o, c.before[b.Class] == c.after[a.Class]})
			}
		}
	}
	for _, a := range after {
		c.rows[c.after[a.Class]].After++
	}
	slices.SortStableFunc(pairs, func(x, y pair) int {
		if x.same != y.same {
			if x.same {
				return -1
			}
			return 1
		}
		return cmp.Compare(y.overlap, x.overlap)
	})
	lost, won := make([]bool, len(before)), make([]bool, len(after)) // paired
	for _, p := range pairs {
		if lost[p.i] || won[p.j] {
			continue
		}
		lost[p.i], won[p.j] = true, true
		b, a := before[p.i], after[p.j]
		switch {
		case !p.same:
			n.Reclassified++
			c.rows[c.before[b.Class]].Left++
			c.rows[c.after[a.Class]].Came++
		case !near(b, a):
			n.Adjusted++
			c.rows[c.after[a.Class]].Adjusted++
		}
	}
	for i, b := range before {
		if !lost[i] {
			n.Removed++
			c.rows[c.before[b.Class]].Removed++
		}
	}
	for j, a := range after {
		if !won[j] {
			n.Added++
			c.rows[c.after[a.Class]].Added++
		}
	}
	return n
}

func overlap(a, b dataset.Box) float64 {
	w := min(a.X+a.W, b.X+b.W) - max(a.X, b.X)
	h := min(a.Y+a.H, b.Y+b.H) - max(a.Y, b.Y)
	if w <= 0 || h <= 0 {
		return 0
	}
	return w * h / (a.W*a.H + b.W*b.H - w*h)
}

func near(a, b dataset.Box) bool {
	for _, d := range [4]float64{a.X - b.X, a.Y - b.Y, a.X + a.W - b.X - b.W, a.Y + a.H - b.Y - b.H} {
		if math.Abs(d) > samePixels {
			return false
		}
	}
	return true
}
