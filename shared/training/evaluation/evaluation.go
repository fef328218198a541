// Package evaluation measures a detector on labelled photos exactly as
// pycocotools' COCOeval does for boxes: average precision over IoU 0.50 to 0.95
// by 101 recall points, at most 100 detections a photo and class.
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
	recall := 0.0
	for c, name := range classes {
		r := measure(c, photos)
		m.Boxes += r.labels
		if r.labels == 0 {
			continue
		}
		m.PerClass = append(m.PerClass, modelpackage.ClassMetrics{Class: name, Support: r.labels, AP50: r.ap50, AP50_95: r.ap})
		m.MAP50 += r.ap50
		m.MAP50_95 += r.ap
		recall += r.recall
	}
	if n := float64(len(m.PerClass)); n > 0 {
		m.MAP50, m.MAP50_95, m.Recall100 = m.MAP50/n, m.MAP50_95/n, recall/n
	}
	return m
}

// result is one class's figures: means over the IoU thresholds, and at 0.50.
type result struct {
	labels           int
	ap, ap50, recall float64
}

// scored is a detection after matching: whether it found a label at each IoU.
type scored struct {
	score float64
	hit   [len(thresholds)]bool
}

func measure(class int, photos []Photo) result {
	var r result
	var all []scored
	for _, p := range photos {
		var labels [][4]float64
		for _, l := range p.Labels {
			if l.Class == class {
				labels = append(labels, l.Box)
			}
		}
		r.labels += len(labels)
		all = append(all, match(labels, best(p.Detections, class))...)
	}
	if r.labels == 0 {
		return r
	}
	sortByScore(all, func(s scored) float64 { return s.score })
	for t := range thresholds {
		precision, recall := averagePrecision(all, t, r.labels)
		if t == 0 {
			r.ap50 = precision
		}
		r.ap += precision / float64(len(thresholds))
		r.recall += recall / float64(len(thresholds))
	}
	return r
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
