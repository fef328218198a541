package drift

import (
	"math"
	"slices"

	"github.com/litterloop/litterloop/shared/predictionlog"
)

// Sketch is what drift needs to know of any number of photos of one model
// version: how many there were of each value of each feature, on a fixed grid.
// Sketches of the same photos are equal however they were put together, and are
// added and subtracted exactly.
//
// A value counts as the nearest point of its grid, whose step is half the
// feature's resolution at most: a distance of two sketches is within one step of
// the distance of their photos, and on a step's scale mostly much nearer, as
// both sides are rounded alike.
type Sketch struct {
	Photos  int64
	Dataset string    // of the newest photo
	Newest  int64     // its time, Unix µs
	counts  [][]int64 // by definition and point of its grid
	classes map[string]int64
}

// grid is the points low, low+step, … up to high. What lies outside counts as the
// nearest end.
type grid struct{ low, step, high float64 }

// grids of the definitions. Numbers that photos have whole (boxes, empty) are
// exact.
var grids = map[string]grid{
	"confidence_mean": {0, 0.005, 1},
	"confidence_max":  {0, 0.005, 1},
	"boxes":           {0, 1, 300},
	"empty":           {0, 1, 1},
	"box_area":        {0, 0.005, 1},
	"box_aspect":      {-6, 0.025, 6},
	"box_x":           {0, 0.005, 1},
	"box_y":           {0, 0.005, 1},
	"brightness":      {0, 0.5, 255},
	"contrast":        {0, 0.5, 128},
	"sharpness":       {0, 0.025, 17},
	"photo_size":      {-10, 0.025, 10},
}

// gridOf is grids in the order of definitions.
var gridOf = func() (all []grid) {
	for _, d := range definitions {
		all = append(all, grids[d.name])
	}
	return all
}()

func (g grid) points() int { return int(math.Round((g.high-g.low)/g.step)) + 1 }

// at is the index of the point nearest to x.
func (g grid) at(x float64) int {
	return int(min(max(math.Round((x-g.low)/g.step), 0), float64(g.points()-1)))
}

func (g grid) value(i int) float64 { return g.low + float64(i)*g.step }

func newSketch() *Sketch {
	s := &Sketch{counts: make([][]int64, len(definitions)), classes: map[string]int64{}}
	for i, d := range definitions {
		s.counts[i] = make([]int64, grids[d.name].points())
	}
	return s
}

// Add counts one photo.
func (s *Sketch) Add(r predictionlog.Row) {
	s.Photos++
	if r.TimeMicros >= s.Newest {
		s.Newest, s.Dataset = r.TimeMicros, r.Dataset
	}
	for i, d := range definitions {
		if x := d.of(&r); finite(x) {
			s.counts[i][gridOf[i].at(x)]++
		}
	}
	for _, b := range r.Boxes {
		s.classes[b.Class]++
	}
}

// merge adds the photos of o, sign times: -1 takes them away again.
func (s *Sketch) merge(o *Sketch, sign int64) {
	s.Photos += sign * o.Photos
	if sign > 0 && o.Newest >= s.Newest {
		s.Newest, s.Dataset = o.Newest, o.Dataset
	}
	for i := range s.counts {
		for j, n := range o.counts[i] {
			s.counts[i][j] += sign * n
		}
	}
	for class, n := range o.classes {
		s.classes[class] += sign * n
	}
}

// sumOf adds sketches up; nil ones are none.
func sumOf(sketches ...*Sketch) *Sketch {
	sum := newSketch()
	for _, s := range sketches {
		if s != nil {
			sum.merge(s, 1)
		}
	}
	return sum
}

// distances sets into[i] to the distance of the i-th watched feature between two
// sketches, as table.distances does between photos.
func (w watched) distances(into []float64, a, b *Sketch) {
	for i, d := range w.columns {
		into[i] = wasserstein(grids[definitions[d].name].step, a.counts[d], b.counts[d])
	}
	if w.classes {
		into[len(w.columns)] = mixDistance(a.classes, b.classes)
	}
}

// wasserstein is the area between two distribution functions on one grid.
func wasserstein(step float64, a, b []int64) float64 {
	totalA, totalB := total(a), total(b)
	if totalA == 0 || totalB == 0 {
		return math.NaN()
	}
	var gap, area float64
	for i := range a {
		gap += float64(a[i])/totalA - float64(b[i])/totalB
		area += math.Abs(gap) * step
	}
	return area
}

func mixDistance(a, b map[string]int64) float64 {
	var names []string
	for _, side := range []map[string]int64{a, b} {
		for class := range side {
			names = append(names, class)
		}
	}
	slices.Sort(names) // sums of floats depend on their order
	names = slices.Compact(names)
	p, q := make([]float64, len(names)), make([]float64, len(names))
	for i, class := range names {
		p[i], q[i] = float64(a[class]), float64(b[class])
	}
	return jensenShannon(p, q)
}

func total(counts []int64) (n float64) {
	for _, c := range counts {
		n += float64(c)
	}
	return n
}

// watched are the features that a policy watches, as indices of definitions in
// their order, and whether the class mix is one.
type watched struct {
	columns []int
	classes bool
}

func (p Policy) watched() (w watched) {
	for i, d := range definitions {
		if slices.Contains(p.Features, d.name) {
			w.columns = append(w.columns, i)
		}
	}
	w.classes = slices.Contains(p.Features, Classes)
	return w
}

func (w watched) size() int { return len(w.columns) + int(indicator(w.classes)) }

func (w watched) name(i int) string {
	if i == len(w.columns) {
		return Classes
	}
	return definitions[w.columns[i]].name
}

func (w watched) resolution(i int) float64 {
	if i == len(w.columns) {
		return classResolution
	}
	return definitions[w.columns[i]].resolution
}

// manyValues bounds how many values stand for a sketch where single values are
// asked for.
const manyValues = 5000

// values are quantiles of the feature, evenly spread, at most manyValues: as many
// as there were while there are so few.
func (s *Sketch) values(d definition) []float64 {
	g, counts := grids[d.name], s.counts[slices.IndexFunc(definitions, func(o definition) bool { return o.name == d.name })]
	all := total(counts)
	n := min(int(all), manyValues)
	out := make([]float64, 0, n)
	seen := 0.0
	for i, c := range counts {
		seen += float64(c)
		for len(out) < n && (float64(len(out))+0.5)/float64(n)*all <= seen {
			out = append(out, g.value(i))
		}
	}
	return out
}

// boxClasses is the class of each box, likewise.
func (s *Sketch) boxClasses() []string {
	names := make([]string, 0, len(s.classes))
	var all float64
	for class, n := range s.classes {
		if n > 0 {
			names, all = append(names, class), all+float64(n)
		}
	}
	slices.Sort(names)
	n := min(int(all), manyValues)
	out := make([]string, 0, n)
	seen := 0.0
	for _, class := range names {
		seen += float64(s.classes[class])
		for len(out) < n && (float64(len(out))+0.5)/float64(n)*all <= seen {
			out = append(out, class)
		}
	}
	return out
}
