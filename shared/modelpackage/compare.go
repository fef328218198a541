package modelpackage

import (
	"fmt"
	"math"
)

// Difference is how far a detector's answer on a golden photo lies from the
// trainer's.
type Difference struct {
	Pixels float64  // largest difference of a box edge
	Score  float64  // largest difference of a confidence
	Faults []string // boxes that only one of the two has
}

// apart is when two boxes of a class are not the same object seen twice, in
// pixels of the largest edge difference.
const apart = 8

// borderline is how near the confidence threshold a box may be found by one
// side and missed by the other; it is the tolerance of the golden check.
const borderline = 0.001

// Compare pairs what a detector found on a golden photo with what the trainer
// found at the same options.
func (g Golden) Compare(photo GoldenPhoto, found []Detection) Difference {
	var d Difference
	taken := make([]bool, len(found))
	for _, want := range photo.Detections {
		best, distance := -1, float64(apart)
		for i, got := range found {
			if taken[i] || got.ClassID != want.ClassID {
				continue
			}
			if e := edges(want.Box, got.Box); e < distance {
				best, distance = i, e
			}
		}
		if best < 0 {
			d.miss(g, want, "not found")
			continue
		}
		taken[best] = true
		d.Pixels = max(d.Pixels, distance)
		d.Score = max(d.Score, math.Abs(want.Confidence-found[best].Confidence))
	}
	for i, got := range found {
		if !taken[i] {
			d.miss(g, got, "found, but not by the trainer")
		}
	}
	return d
}

func (d *Difference) miss(g Golden, x Detection, how string) {
	if x.Confidence-g.Conf > borderline {
		d.Faults = append(d.Faults, fmt.Sprintf("%s %.3f at %.1f: %s", x.Class, x.Confidence, x.Box, how))
	}
}

// edges returns the largest difference of an edge.
func edges(a, b [4]float64) (d float64) {
	for k := range a {
		d = max(d, math.Abs(a[k]-b[k]))
	}
	return d
}
