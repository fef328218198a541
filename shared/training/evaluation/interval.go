package evaluation

import (
	"math/rand/v2"
	"slices"
)

// Interval is where a figure lies in 90 of 100 samples of as many photos.
type Interval struct {
	Low  float64 `json:"low"`
	High float64 `json:"high"`
}

// resamples are enough for the ends of an interval to move by less than the
// figures are read to.
const resamples = 200

// bootstrap gives the interval of each figure that measure computes from the
// photos' weights: how often each was drawn, with replacement (Efron 1979). The
// same photos give the same intervals. A figure of -1 is left out.
func bootstrap(photos int, measure func(weights []int) []float64) []Interval {
	r := rand.New(rand.NewPCG(1, uint64(photos)))
	var drawn [][]float64
	weights := make([]int, photos)
	for range resamples {
		clear(weights)
		for range photos {
			weights[r.IntN(photos)]++
		}
		for i, v := range measure(weights) {
			if i == len(drawn) {
				drawn = append(drawn, nil)
			}
			if v > -0.5 {
				drawn[i] = append(drawn[i], v)
			}
		}
	}
	out := make([]Interval, len(drawn))
	for i, d := range drawn {
		if len(d) == 0 {
			continue
		}
		slices.Sort(d)
		out[i] = Interval{d[len(d)*5/100], d[(len(d)*95-1)/100]}
	}
	return out
}
