package rollout

import (
	"fmt"
	"math"

	"github.com/litterloop/litterloop/shared/modelpackage"
)

// A detector serves a package when it answers as the trainer did, within these.
const (
	maxPixels     = 0.5
	maxConfidence = 0.001
)

// equivalent matches detections one to one and says what has no partner. A
// detection at the very threshold of confidence may be missing on either side.
func equivalent(want, got []modelpackage.Detection, threshold float64) error {
	partner := make([]int, len(got)) // index into want, or -1
	for j := range partner {
		partner[j] = -1
	}
	// Kuhn's augmenting paths: boxes on top of each other fit several partners,
	// and a greedy choice could leave one without.
	var assign func(i int, seen []bool) bool
	assign = func(i int, seen []bool) bool {
		for j := range got {
			if seen[j] || !same(want[i], got[j]) {
				continue
			}
			seen[j] = true
			if partner[j] < 0 || assign(partner[j], seen) {
				partner[j] = i
				return true
			}
		}
		return false
	}
	for i, d := range want {
		if !assign(i, make([]bool, len(got))) && d.Confidence > threshold+maxConfidence {
			return fmt.Errorf("the trainer found %s; the detector did not", describe(d))
		}
	}
	for j, d := range got {
		if partner[j] < 0 && d.Confidence > threshold+maxConfidence {
			return fmt.Errorf("the detector found %s; the trainer did not", describe(d))
		}
	}
	return nil
}

func same(a, b modelpackage.Detection) bool {
	if a.ClassID != b.ClassID || math.Abs(a.Confidence-b.Confidence) > maxConfidence {
		return false
	}
	for k := range a.Box {
		if math.Abs(a.Box[k]-b.Box[k]) > maxPixels {
			return false
		}
	}
	return true
}

func describe(d modelpackage.Detection) string {
	return fmt.Sprintf("%s (%.4f) at %.1f", d.Class, d.Confidence, d.Box)
}
