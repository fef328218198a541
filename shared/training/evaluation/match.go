package evaluation

import (
	"math"
	"slices"
)

// thresholds are numpy.linspace(0.5, 0.95, 10), to the last bit.
var thresholds = func() (t [10]float64) {
	step := (0.95 - 0.5) / 9
	for i := range t {
		t[i] = 0.5 + float64(i)*step
	}
	t[9] = 0.95
	return t
}()

// recalls are numpy.linspace(0, 1, 101).
var recalls = func() (r [101]float64) {
	for i := range r {
		r[i] = float64(i) * 0.01
	}
	r[100] = 1
	return r
}()

// areas are COCOeval's ranges of a box's area in square pixels: all, small,
// medium, large. Both ends belong to a range.
var areas = [4][2]float64{{0, 1e10}, {0, 32 * 32}, {32 * 32, 96 * 96}, {96 * 96, 1e10}}

const (
	anySize = iota
	small
	medium
	large
)

func area(b [4]float64) float64 { return (b[2] - b[0]) * (b[3] - b[1]) }

func within(b [4]float64, size int) bool {
	a := area(b)
	return a >= areas[size][0] && a <= areas[size][1]
}

// scored is a detection after matching, at each IoU: whether it found a label,
// and whether it counts at all. rank is its place among its photo's detections
// of its class.
type scored struct {
	score       float64
	photo, rank int
	hit, out    [len(thresholds)]bool
}

// match gives each detection, best first, the label it overlaps most among
// those still free; of equal overlaps the later label, as COCOeval does. Labels
// of another size are taken only where no other is left, and then neither counts.
// It returns how many labels count.
func match(labels [][4]float64, detections []Detection, size int) (out []scored, counted int) {
	// Those that count first, in their order.
	order := make([]int, 0, len(labels))
	for pass := range 2 {
		for j, l := range labels {
			if within(l, size) == (pass == 0) {
				order = append(order, j)
			}
		}
		if pass == 0 {
			counted = len(order)
		}
	}
	overlaps := make([][]float64, len(detections))
	for i, d := range detections {
		overlaps[i] = make([]float64, len(order))
		for k, j := range order {
			overlaps[i][k] = IoU(d.Box, labels[j])
		}
	}
	out = make([]scored, len(detections))
	taken := make([]bool, len(order))
	for t, threshold := range thresholds {
		clear(taken)
		for i, d := range detections {
			out[i].score, out[i].rank = d.Score, i
			least, found := math.Min(threshold, 1-1e-10), -1
			for k := range order {
				if taken[k] {
					continue
				}
				if found >= 0 && found < counted && k >= counted {
					break // one that counts is never given up for one that does not
				}
				if overlaps[i][k] >= least {
					least, found = overlaps[i][k], k
				}
			}
			if found >= 0 {
				taken[found], out[i].hit[t] = true, true
				out[i].out[t] = found >= counted
			} else {
				out[i].out[t] = !within(d.Box, size)
			}
		}
	}
	return out, counted
}

// ranked are all photos' detections of a class, best first, and the number of
// labels that count, photo by photo.
type ranked struct {
	found  []scored
	labels []int
}

func rank(class, size int, photos []Photo) ranked {
	r := ranked{labels: make([]int, len(photos))}
	for i, p := range photos {
		var labels [][4]float64
		for _, l := range p.Labels {
			if l.Class == class {
				labels = append(labels, l.Box)
			}
		}
		found, counted := match(labels, best(p.Detections, class), size)
		for k := range found {
			found[k].photo = i
		}
		r.labels[i] = counted
		r.found = append(r.found, found...)
	}
	sortByScore(r.found, func(s scored) float64 { return s.score })
	return r
}

func (r ranked) total() (n int) {
	for _, l := range r.labels {
		n += l
	}
	return n
}

// figures at one threshold, of the first most detections of each photo, each
// photo counted as often as weights say (nil: once).
func (r ranked) figures(threshold, most int, weights []int) (precision, recall float64) {
	labels := 0
	for i, n := range r.labels {
		labels += n * weight(weights, i)
	}
	if labels == 0 {
		return -1, -1
	}
	c := r.curve(threshold, most, weights)
	for _, x := range recalls {
		if i, _ := slices.BinarySearchFunc(c, x, func(p point, x float64) int {
			if p.recall < x {
				return -1
			}
			return 1
		}); i < len(c) {
			precision += c[i].precision
		}
	}
	if len(c) > 0 {
		recall = c[len(c)-1].recall
	}
	return precision / float64(len(recalls)), recall
}

// point of a curve of precision over recall.
type point struct{ recall, precision, score float64 }

// curve has a point for each detection that counts, best first; precision never
// rises with recall (the envelope from the right).
func (r ranked) curve(threshold, most int, weights []int) []point {
	labels, hits, misses := 0, 0, 0
	for i, n := range r.labels {
		labels += n * weight(weights, i)
	}
	c := make([]point, 0, len(r.found))
	for k := range r.found {
		s := &r.found[k]
		w := weight(weights, s.photo)
		if s.rank >= most || w == 0 {
			continue
		}
		switch {
		case s.out[threshold]: // neither right nor wrong
		case s.hit[threshold]:
			hits += w
		default:
			misses += w
		}
		c = append(c, point{float64(hits) / float64(labels), float64(hits) / (float64(hits+misses) + 0x1p-52), s.score})
	}
	for i := len(c) - 2; i >= 0; i-- {
		c[i].precision = math.Max(c[i].precision, c[i+1].precision)
	}
	return c
}

func weight(weights []int, photo int) int {
	if weights == nil {
		return 1
	}
	return weights[photo]
}

// IoU is the intersection over union of two boxes.
func IoU(a, b [4]float64) float64 {
	w := math.Min(a[2], b[2]) - math.Max(a[0], b[0])
	h := math.Min(a[3], b[3]) - math.Max(a[1], b[1])
	if w <= 0 || h <= 0 {
		return 0
	}
	common := w * h
	return common / ((a[2]-a[0])*(a[3]-a[1]) + (b[2]-b[0])*(b[3]-b[1]) - common)
}
