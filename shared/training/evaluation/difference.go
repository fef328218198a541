package evaluation

// Difference is where b's mAP50-95 less a's lies, in 90 of 100 samples of as many
// photos: of the same photos, answered by two detectors. An interval that holds 0
// says that the photos are too few to tell the detectors apart.
func Difference(classes int, a, b []Photo) Interval {
	var ranks [2][]ranked
	for i, photos := range [][]Photo{a, b} {
		for c := range classes {
			ranks[i] = append(ranks[i], rank(c, anySize, photos))
		}
	}
	mAP := func(ranks []ranked, weights []int) float64 {
		var m mean
		for _, r := range ranks {
			ap, _ := r.overThresholds(maxDetections, weights)
			m.add(ap)
		}
		return m.value()
	}
	// Raised by one, as a figure of -1 is none to bootstrap.
	out := bootstrap(len(a), func(weights []int) []float64 {
		return []float64{1 + mAP(ranks[1], weights) - mAP(ranks[0], weights)}
	})
	if len(out) == 0 {
		return Interval{}
	}
	return Interval{out[0].Low - 1, out[0].High - 1}
}
