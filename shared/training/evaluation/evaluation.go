// Package evaluation measures a detector on labelled photos exactly as
// pycocotools' COCOeval does for boxes: average precision over IoU 0.50 to 0.95
// by 101 recall points, at most 100 detections a photo and class. Beyond that it
// says how sure the figures are, and where the detector fails.
package evaluation

import (
	"cmp"
	"slices"

	"github.com/litterloop/litterloop/shared/modelpackage"
)

// Label is a labelled box in pixels: x1, y1, x2, y2.
type Label struct {
	Class int
	Box   [4]float64
}

// Detection is a box that a detector found.
type Detection struct {
	Class int
	Score float64
	Box   [4]float64
}

// Photo is one photo's labels and what was found on it.
type Photo struct {
	Name       string // for reports
	Labels     []Label
	Detections []Detection
}

// maxDetections is the most that count on a photo, for each class.
const maxDetections = 100

// Evaluate measures detections against labels. Classes without a label count
// in no mean, as in COCOeval; where no photo has a label every figure is 0.
// PerClass lists the classes that have labels, in the order of classes.
func Evaluate(classes []string, photos []Photo) modelpackage.Metrics {
	m := modelpackage.Metrics{Photos: len(photos)}
	for c, name := range classes {
		r := rank(c, anySize, photos)
		n := r.total()
		m.Boxes += n
		if n == 0 {
			continue
		}
		ap, recall := r.overThresholds(maxDetections, nil)
		ap50, _ := r.figures(0, maxDetections, nil)
		m.PerClass = append(m.PerClass, modelpackage.ClassMetrics{Class: name, Support: n, AP50: ap50, AP50_95: ap})
		m.MAP50 += ap50
		m.MAP50_95 += ap
		m.Recall100 += recall
	}
	if n := float64(len(m.PerClass)); n > 0 {
		m.MAP50, m.MAP50_95, m.Recall100 = m.MAP50/n, m.MAP50_95/n, m.Recall100/n
	}
	return m
}

// overThresholds are the means of precision and recall over the IoU thresholds;
// -1 without a label.
func (r ranked) overThresholds(most int, weights []int) (precision, recall float64) {
	for t := range thresholds {
		p, q := r.figures(t, most, weights)
		precision += p / float64(len(thresholds))
		recall += q / float64(len(thresholds))
	}
	return precision, recall
}

// best are a photo's detections of one class, best first, as many as count.
func best(detections []Detection, class int) []Detection {
	var ds []Detection
	for _, d := range detections {
		if d.Class == class {
			ds = append(ds, d)
		}
	}
	sortByScore(ds, func(d Detection) float64 { return d.Score })
	return ds[:min(len(ds), maxDetections)]
}

// sortByScore keeps the order of equal scores, as numpy's mergesort of the
// negated scores does.
func sortByScore[T any](s []T, score func(T) float64) {
	slices.SortStableFunc(s, func(a, b T) int { return cmp.Compare(score(b), score(a)) })
}
