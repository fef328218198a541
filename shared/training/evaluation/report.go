package evaluation

import (
	"cmp"
	"fmt"
	"slices"
)

// Report says how good a detector is, how sure that is, and where it fails.
type Report struct {
	Summary Summary  `json:"summary"`
	MAP50   Interval `json:"mAP50_interval"`
	MAP     Interval `json:"mAP50_95_interval"`
	Classes []Class  `json:"classes"`
	// Doubts are what the figures do not bear out, in words.
	Doubts []string `json:"doubts,omitempty"`
	// Confusion counts labels (rows) by the class that was found on them
	// (columns), at IoU 0.50 and the confidence below; the last column is nothing
	// found, the last row what was found where nothing is.
	Confusion  [][]int `json:"confusion"`
	Confidence float64 `json:"confidence"`
	Worst      []Worst `json:"worst"` // photos with most errors at that confidence, worst first
}

// Class is one class's figures.
type Class struct {
	Name         string   `json:"name"`
	Support      int      `json:"support"` // labelled boxes it was measured on
	Trained      int      `json:"trained"` // labelled boxes it was trained on
	AP50         float64  `json:"ap50"`    // -1 without support
	AP           float64  `json:"ap50_95"`
	AP50Interval Interval `json:"ap50_interval"`
	// Curve is precision at recalls 0, 0.01, … 1, at IoU 0.50.
	Curve []float64 `json:"curve,omitempty"`
}

// Worst is a photo and its errors.
type Worst struct {
	Photo  string `json:"photo"`
	Index  int    `json:"index"` // among the photos measured
	Missed int    `json:"missed"`
	Wrong  int    `json:"wrong"`
}

// Below these numbers of labelled boxes a class's figures say little: of ten
// boxes one more found moves recall by ten points.
const (
	fewMeasured = 10
	fewTrained  = 20
)

// WorstPhotos is the most that a report names.
const WorstPhotos = 8

// NewReport measures photos. trained are the labelled boxes of each class in the
// training data.
func NewReport(classes []string, trained []int, photos []Photo) Report {
	r := Report{Summary: Summarize(len(classes), photos)}
	ranks := make([]ranked, len(classes))
	for c := range classes {
		ranks[c] = rank(c, anySize, photos)
	}
	intervals := bootstrap(len(photos), func(weights []int) []float64 {
		var ap50, ap mean
		each := make([]float64, 2, 2+len(ranks))
		for _, k := range ranks {
			p50, _ := k.figures(0, maxDetections, weights)
			p, _ := k.overThresholds(maxDetections, weights)
			ap50.add(p50)
			ap.add(p)
			each = append(each, p50)
		}
		each[0], each[1] = ap50.value(), ap.value()
		return each
	})
	for i, name := range classes {
		c := Class{Name: name, Support: ranks[i].total(), Trained: trained[i], AP50: -1, AP: -1}
		if c.Support > 0 {
			c.AP50, _ = ranks[i].figures(0, maxDetections, nil)
			c.AP, _ = ranks[i].overThresholds(maxDetections, nil)
			c.Curve = sampled(ranks[i].curve(0, maxDetections, nil))
		}
		if len(intervals) > 2+i {
			c.AP50Interval = intervals[2+i]
		}
		r.Classes = append(r.Classes, c)
	}
	if len(intervals) >= 2 {
		r.MAP50, r.MAP = intervals[0], intervals[1]
	}
	r.Doubts = doubts(r.Classes)
	r.Confidence = bestConfidence(ranks)
	r.confuse(len(classes), photos)
	return r
}

func doubts(classes []Class) (words []string) {
	for _, c := range classes {
		switch {
		case c.Trained == 0 && c.Support == 0:
		case c.Trained == 0:
			words = append(words, fmt.Sprintf("%s: nothing to learn it from, %d boxes to measure it on", c.Name, c.Support))
		case c.Trained < fewTrained:
			words = append(words, fmt.Sprintf("%s: %d boxes are too few to learn it from (%d are the least to believe in)", c.Name, c.Trained, fewTrained))
		case c.Support == 0:
			words = append(words, fmt.Sprintf("%s: no box to measure it on", c.Name))
		case c.Support < fewMeasured:
			words = append(words, fmt.Sprintf("%s: measured on %d boxes, its AP50 may lie anywhere from %.2f to %.2f", c.Name, c.Support, c.AP50Interval.Low, c.AP50Interval.High))
		}
	}
	return words
}

func sampled(c []point) []float64 {
	out := make([]float64, len(recalls))
	for i, x := range recalls {
		if k := slices.IndexFunc(c, func(p point) bool { return p.recall >= x }); k >= 0 {
			out[i] = c[k].precision
		}
	}
	return out
}

// bestConfidence is the score at which precision and recall over all classes
// have the greatest harmonic mean (F1), at IoU 0.50.
func bestConfidence(ranks []ranked) float64 {
	var all []scored
	labels := 0
	for _, k := range ranks {
		all, labels = append(all, k.found...), labels+k.total()
	}
	sortByScore(all, func(s scored) float64 { return s.score })
	best, at, hits := 0.0, 0.25, 0
	for i, s := range all {
		if s.hit[0] {
			hits++
		}
		if f1 := 2 * float64(hits) / float64(i+1+labels); f1 > best {
			best, at = f1, s.score
		}
	}
	return at
}

// confuse fills Confusion and Worst: each detection of at least Confidence, best
// first, takes the free label that it overlaps most, of whichever class.
func (r *Report) confuse(classes int, photos []Photo) {
	r.Confusion = make([][]int, classes+1)
	for i := range r.Confusion {
		r.Confusion[i] = make([]int, classes+1)
	}
	for n, p := range photos {
		w := Worst{Photo: p.Name, Index: n}
		found := slices.DeleteFunc(slices.Clone(p.Detections), func(d Detection) bool { return d.Score < r.Confidence })
		sortByScore(found, func(d Detection) float64 { return d.Score })
		taken := make([]bool, len(p.Labels))
		for _, d := range found {
			overlap, at := thresholds[0], -1
			for j, l := range p.Labels {
				if u := IoU(d.Box, l.Box); !taken[j] && u >= overlap {
					overlap, at = u, j
				}
			}
			if at < 0 {
				r.Confusion[classes][d.Class]++
				w.Wrong++
				continue
			}
			taken[at] = true
			r.Confusion[p.Labels[at].Class][d.Class]++
			if p.Labels[at].Class != d.Class {
				w.Wrong++
			}
		}
		for j, l := range p.Labels {
			if !taken[j] {
				r.Confusion[l.Class][classes]++
				w.Missed++
			}
		}
		if w.Missed+w.Wrong > 0 {
			r.Worst = append(r.Worst, w)
		}
	}
	slices.SortStableFunc(r.Worst, func(a, b Worst) int { return cmp.Compare(b.Missed+b.Wrong, a.Missed+a.Wrong) })
	r.Worst = r.Worst[:min(len(r.Worst), WorstPhotos)]
}
