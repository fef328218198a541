package stattest

import (
	"math"
	"slices"
)

// wasserstein is the Wasserstein-1 distance in units of the reference's
// standard deviation (ddof 0), which is taken as 0.001 at least.
func wasserstein(reference, current []float64) float64 {
	return distance(reference, current) / max(deviation(reference), 0.001)
}

// distance is the area between the two empirical distribution functions.
func distance(a, b []float64) float64 {
	a, b = slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b))
	i, j, d := 0, 0, 0.0
	x := min(a[0], b[0])
	for i < len(a) || j < len(b) {
		next := math.Inf(1)
		if i < len(a) {
			next = a[i]
		}
		if j < len(b) {
			next = min(next, b[j])
		}
		d += math.Abs(float64(i)/float64(len(a))-float64(j)/float64(len(b))) * (next - x)
		x = next
		for i < len(a) && a[i] == x {
			i++
		}
		for j < len(b) && b[j] == x {
			j++
		}
	}
	return d
}

func deviation(x []float64) float64 {
	mean := sum(x) / float64(len(x))
	s := 0.0
	for _, v := range x {
		s += (v - mean) * (v - mean)
	}
	return math.Sqrt(s / float64(len(x)))
}
