package evaluation

// Summary are the twelve figures that COCOeval.summarize prints, and recall at
// one IoU. A figure is -1 where no label is of its size.
type Summary struct {
	AP       float64 `json:"ap"`
	AP50     float64 `json:"ap50"`
	AP75     float64 `json:"ap75"`
	APSmall  float64 `json:"ap_small"`  // boxes of at most 32² pixels
	APMedium float64 `json:"ap_medium"` // at most 96²
	APLarge  float64 `json:"ap_large"`
	AR1      float64 `json:"ar1"` // recall by the best detection of each photo and class, mean over IoU
	AR10     float64 `json:"ar10"`
	AR100    float64 `json:"ar100"`
	ARSmall  float64 `json:"ar_small"`
	ARMedium float64 `json:"ar_medium"`
	ARLarge  float64 `json:"ar_large"`
	// Recall50 is the recall of 100 detections at IoU 0.50 alone.
	Recall50 float64 `json:"recall50"`
}

// Summarize computes the figures for classes 0 to classes-1.
func Summarize(classes int, photos []Photo) Summary {
	var means [13]mean
	for c := range classes {
		r := rank(c, anySize, photos)
		if r.total() == 0 && len(r.found) == 0 {
			continue
		}
		ap, ar100 := r.overThresholds(maxDetections, nil)
		ap50, recall50 := r.figures(0, maxDetections, nil)
		ap75, _ := r.figures(5, maxDetections, nil)
		_, ar1 := r.overThresholds(1, nil)
		_, ar10 := r.overThresholds(10, nil)
		figures := [13]float64{ap, ap50, ap75, 0, 0, 0, ar1, ar10, ar100, 0, 0, 0, recall50}
		for size := small; size <= large; size++ {
			figures[2+size], figures[8+size] = rank(c, size, photos).overThresholds(maxDetections, nil)
		}
		for i, f := range figures {
			means[i].add(f)
		}
	}
	m := func(i int) float64 { return means[i].value() }
	return Summary{m(0), m(1), m(2), m(3), m(4), m(5), m(6), m(7), m(8), m(9), m(10), m(11), m(12)}
}

// mean of what is known: -1 is not.
type mean struct {
	sum float64
	n   int
}

func (m *mean) add(v float64) {
	if v > -0.5 {
		m.sum, m.n = m.sum+v, m.n+1
	}
}

func (m mean) value() float64 {
	if m.n == 0 {
		return -1
	}
	return m.sum / float64(m.n)
}
