package evaluation

import (
	"math"
	"sort"
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

// match gives each detection, best first, the label it overlaps most among
// those still free; of equal overlaps the later label, as COCOeval does.
func match(labels [][4]float64, detections []Detection) []scored {
	overlaps := make([][]float64, len(detections))
	for i, d := range detections {
		overlaps[i] = make([]float64, len(labels))
		for j, l := range labels {
			overlaps[i][j] = iou(d.Box, l)
		}
	}
	out := make([]scored, len(detections))
	taken := make([]bool, len(labels))
	for t, threshold := range thresholds {
		clear(taken)
		for i, d := range detections {
			out[i].score = d.Score
			least, found := math.Min(threshold, 1-1e-10), -1
			for j := range labels {
				if !taken[j] && overlaps[i][j] >= least {
					least, found = overlaps[i][j], j
				}
			}
			if found >= 0 {
				taken[found], out[i].hit[t] = true, true
			}
		}
	}
	return out
}

// averagePrecision at one threshold over all detections of a class, best first,
// and the recall that all of them together reach.
func averagePrecision(all []scored, threshold, labels int) (precision, recall float64) {
	if len(all) == 0 {
		return 0, 0
	}
	recallAt, precisionAt := make([]float64, len(all)), make([]float64, len(all))
	hits := 0
	for i, s := range all {
		if s.hit[threshold] {
			hits++
		}
		recallAt[i] = float64(hits) / float64(labels)
		precisionAt[i] = float64(hits) / float64(i+1)
	}
	// Precision never rises with recall: the envelope from the right.
	for i := len(all) - 2; i >= 0; i-- {
		precisionAt[i] = math.Max(precisionAt[i], precisionAt[i+1])
	}
	for _, r := range recalls {
		if i := sort.SearchFloat64s(recallAt, r); i < len(all) {
			precision += precisionAt[i]
		}
	}
	return precision / float64(len(recalls)), recallAt[len(all)-1]
}

func iou(a, b [4]float64) float64 {
	w := math.Min(a[2], b[2]) - math.Max(a[0], b[0])
	h := math.Min(a[3], b[3]) - math.Max(a[1], b[1])
	if w <= 0 || h <= 0 {
		return 0
	}
	common := w * h
	return common / ((a[2]-a[0])*(a[3]-a[1]) + (b[2]-b[0])*(b[3]-b[1]) - common)
}
