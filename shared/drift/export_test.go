package drift

import (
	"math/rand/v2"
	"time"

	"github.com/litterloop/litterloop/shared/predictionlog"
)

// Traffic is traffic, for tests from outside the package.
type Traffic = traffic

// Scenes.
var (
	Harmless = traffic{}
	Moderate = traffic{dark: 0.2, blur: 0.25, lost: 0.15}
	Severe   = traffic{dark: 0.5, blur: 0.5, lost: 0.3, classes: []float64{0.1, 0.1, 0.2, 0.6}}
)

// Rows draws n photos from from over span.
func (s traffic) Rows(rng *rand.Rand, n int, from time.Time, span time.Duration) []predictionlog.Row {
	return s.rows(rng, n, from, span)
}

// AddTimes adds a photo as if it had come so many times.
func (s Sketches) AddTimes(r predictionlog.Row, times int) {
	one := Sketches{}
	one.Add(r)
	for v, k := range one {
		k.Photos *= int64(times)
		for _, counts := range k.counts {
			for i := range counts {
				counts[i] *= int64(times)
			}
		}
		for class := range k.classes {
			k.classes[class] *= int64(times)
		}
		s.merge(Sketches{v: k})
	}
}
