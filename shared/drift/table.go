package drift

import (
	"cmp"
	"math"
	"slices"

	"github.com/litterloop/litterloop/shared/predictionlog"
)

// table holds the watched features of photos, laid out so that the distance
// between any two weightings of the photos costs one pass over each feature.
type table struct {
	photos  int
	columns []column
	classes *classTable // nil when the class mix is not watched
}

// column is one feature: the photos that have it, in ascending order.
type column struct {
	definition
	photo []int32
	value []float64
}

// classTable holds the boxes of each photo by class.
type classTable struct {
	names []string
	photo []int32
	class []int32
}

// newTable extracts the watched features; their order in watched has no meaning.
func newTable(rows []predictionlog.Row, watched []string) *table {
	t := &table{photos: len(rows)}
	for _, d := range definitions {
		if slices.Contains(watched, d.name) {
			t.columns = append(t.columns, newColumn(d, rows))
		}
	}
	if slices.Contains(watched, Classes) {
		t.classes = newClassTable(rows)
	}
	return t
}

func newColumn(d definition, rows []predictionlog.Row) column {
	type cell struct {
		photo int32
		value float64
	}
	cells := make([]cell, 0, len(rows))
	for i := range rows {
		if x := d.of(&rows[i]); finite(x) {
			cells = append(cells, cell{int32(i), x})
		}
	}
	slices.SortFunc(cells, func(a, b cell) int {
		return cmp.Or(cmp.Compare(a.value, b.value), cmp.Compare(a.photo, b.photo))
	})
	c := column{d, make([]int32, len(cells)), make([]float64, len(cells))}
	for i, x := range cells {
		c.photo[i], c.value[i] = x.photo, x.value
	}
	return c
}

func newClassTable(rows []predictionlog.Row) *classTable {
	t := &classTable{}
	for _, r := range rows {
		for _, b := range r.Boxes {
			t.names = append(t.names, b.Class)
		}
	}
	slices.Sort(t.names)
	t.names = slices.Compact(t.names)
	for i, r := range rows {
		for _, b := range r.Boxes {
			class, _ := slices.BinarySearch(t.names, b.Class)
			t.photo, t.class = append(t.photo, int32(i)), append(t.class, int32(class))
		}
	}
	return t
}

// size is the number of features.
func (t *table) size() int {
	if t.classes != nil {
		return len(t.columns) + 1
	}
	return len(t.columns)
}

// name and resolution of feature i.
func (t *table) name(i int) string {
	if i == len(t.columns) {
		return Classes
	}
	return t.columns[i].name
}

func (t *table) resolution(i int) float64 {
	if i == len(t.columns) {
		return classResolution
	}
	return t.columns[i].resolution
}

// distances sets into[i] to the distance of feature i between the photos
// weighted by a and those weighted by b, NaN for a feature that either side
// lacks altogether.
func (t *table) distances(into, a, b []float64) {
	for i := range t.columns {
		into[i] = t.columns[i].wasserstein(a, b)
	}
	if t.classes != nil {
		into[len(t.columns)] = t.classes.jensenShannon(a, b)
	}
}

// wasserstein is the area between the two weighted distribution functions.
func (c *column) wasserstein(a, b []float64) float64 {
	var totalA, totalB float64
	for _, p := range c.photo {
		totalA += a[p]
		totalB += b[p]
	}
	if totalA == 0 || totalB == 0 {
		return math.NaN()
	}
	var gap, area, last float64
	for i, p := range c.photo {
		if a[p] == 0 && b[p] == 0 {
			continue
		}
		area += math.Abs(gap) * (c.value[i] - last)
		last = c.value[i]
		gap += a[p]/totalA - b[p]/totalB
	}
	return area
}

func (t *classTable) jensenShannon(a, b []float64) float64 {
	p, q := make([]float64, len(t.names)), make([]float64, len(t.names))
	for i, photo := range t.photo {
		p[t.class[i]] += a[photo]
		q[t.class[i]] += b[photo]
	}
	return jensenShannon(p, q)
}

// jensenShannon is the distance of two mixes; NaN when one is empty.
func jensenShannon(p, q []float64) float64 {
	var totalP, totalQ float64
	for i := range p {
		totalP += p[i]
		totalQ += q[i]
	}
	if totalP == 0 || totalQ == 0 {
		return math.NaN()
	}
	s := 0.0
	for i := range p {
		x, y := p[i]/totalP, q[i]/totalQ
		if x > 0 {
			s += x * math.Log(2*x/(x+y))
		}
		if y > 0 {
			s += y * math.Log(2*y/(x+y))
		}
	}
	return math.Sqrt(max(s/2, 0))
}
