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

// tally counts boxes by class and size, over two versions with class lists of
// their own.
type tally struct {
	classes       []Class
	before, after []int // from a version's class to its place in classes
	sizes         []Size
}

func newTally(from, to []string) *tally {
	c := &tally{sizes: []Size{{Name: "small"}, {Name: "medium"}, {Name: "large"}}}
	row := map[string]int{}
	for i, name := range to {
		row[name] = i
		c.after = append(c.after, i)
		c.classes = append(c.classes, Class{Name: name, Change: Added})
	}
	for _, name := range from {
		i, ok := row[name]
		if ok {
			c.classes[i].Change = ""
		} else {
			i = len(c.classes)
			c.classes = append(c.classes, Class{Name: name, Change: Removed})
		}
		c.before = append(c.before, i)
	}
	return c
}

// match pairs a photo's boxes, best overlap first and the same class before
// others, and counts what became of them.
func (c *tally) match(before, after []dataset.Box) Boxes {
	n := Boxes{Before: len(before), After: len(after)}
	type pair struct {
		i, j    int
		overlap float64
		same    bool // class
	}
	var pairs []pair
	for i, b := range before {
		c.classes[c.before[b.Class]].Before++
		c.size(b).Before++
		for j, a := range after {
			if o := overlap(b, a); o >= sameObject {
				pairs = append(pairs, pair{i, j, o, c.before[b.Class] == c.after[a.Class]})
			}
		}
	}
	for _, a := range after {
		c.classes[c.after[a.Class]].After++
		c.size(a).After++
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
		if was, is := c.size(b), c.size(a); was != is {
			was.Left++
			is.Came++
		}
		switch {
		case !p.same:
			n.Reclassified++
			c.classes[c.before[b.Class]].Left++
			c.classes[c.after[a.Class]].Came++
		case !near(b, a):
			n.Adjusted++
			c.classes[c.after[a.Class]].Adjusted++
		}
	}
	for i, b := range before {
		if !lost[i] {
			n.Removed++
			c.classes[c.before[b.Class]].Removed++
			c.size(b).Removed++
		}
	}
	for j, a := range after {
		if !won[j] {
			n.Added++
			c.classes[c.after[a.Class]].Added++
			c.size(a).Added++
		}
	}
	return n
}

// size is the bucket of a box.
func (c *tally) size(b dataset.Box) *Size {
	switch area := b.W * b.H; {
	case area < 32*32:
		return &c.sizes[0]
	case area < 96*96:
		return &c.sizes[1]
	}
	return &c.sizes[2]
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
