package drift

import (
	"cmp"
	"math"
	"slices"

	"github.com/litterloop/litterloop/shared/predictionlog"
)

// Classes is the feature of the class mix: the boxes' classes, compared by
// Jensen-Shannon distance. All others are one number a photo.
const Classes = "classes"

// definition is a feature: one number a photo, NaN where the photo has none.
type definition struct {
	name  string
	title string
	unit  string
	of    func(r *predictionlog.Row) float64
	// resolution is the smallest shift of the whole distribution worth noticing,
	// in the feature's unit. It bounds the spread from below: a feature that never
	// varied (every photo of one size) would otherwise alarm on a single photo.
	resolution float64
	// display undoes a transformation for people; nil for none.
	display func(float64) float64
}

// definitions in the order that reports show. Quantities that vary by factors
// (sharpness, area, aspect, size) are taken as logarithms or roots, so that one
// odd photo does not outweigh a shift of all.
var definitions = []definition{
	{"confidence_mean", "Mean confidence of a photo's boxes", "", confidenceMean, 0.01, nil},
	{"confidence_max", "Highest confidence of a photo's boxes", "", confidenceMax, 0.01, nil},
	{"boxes", "Boxes a photo", "", func(r *predictionlog.Row) float64 { return float64(len(r.Boxes)) }, 0.1, nil},
	{"empty", "Photos without a box", "", func(r *predictionlog.Row) float64 { return indicator(len(r.Boxes) == 0) }, 0.02, nil},
	{"box_area", "Mean box size, as side relative to the photo's", "", boxMean(func(r *predictionlog.Row, b predictionlog.Box) float64 {
		return math.Sqrt(float64(b.X2-b.X1) * float64(b.Y2-b.Y1) / (float64(r.Width) * float64(r.Height)))
	}), 0.01, nil},
	{"box_aspect", "Mean box aspect", "width / height", boxMean(func(_ *predictionlog.Row, b predictionlog.Box) float64 {
		return math.Log2(float64(b.X2-b.X1) / float64(b.Y2-b.Y1))
	}), 0.05, math.Exp2},
	{"box_x", "Mean horizontal position of boxes", "left 0, right 1", boxMean(func(r *predictionlog.Row, b predictionlog.Box) float64 {
		return float64(b.X1+b.X2) / 2 / float64(r.Width)
	}), 0.01, nil},
	{"box_y", "Mean vertical position of boxes", "top 0, bottom 1", boxMean(func(r *predictionlog.Row, b predictionlog.Box) float64 {
		return float64(b.Y1+b.Y2) / 2 / float64(r.Height)
	}), 0.01, nil},
	{"brightness", "Brightness", "mean luma, 0 to 255", func(r *predictionlog.Row) float64 { return float64(r.Brightness) }, 1, nil},
	{"contrast", "Contrast", "standard deviation of luma", func(r *predictionlog.Row) float64 { return float64(r.Contrast) }, 1, nil},
	{"sharpness", "Sharpness", "variance of the Laplacian", func(r *predictionlog.Row) float64 { return math.Log2(1 + float64(r.Sharpness)) }, 0.05, func(x float64) float64 { return math.Exp2(x) - 1 }},
	{"photo_size", "Photo size", "megapixels", func(r *predictionlog.Row) float64 {
		return math.Log2(float64(r.Width) * float64(r.Height) / 1e6)
	}, 0.05, math.Exp2},
}

// classResolution is Classes' resolution, as definition.resolution: about one
// box in a hundred of another class.
const classResolution = 0.05

// FeatureNames lists every feature, in the order that reports show them.
func FeatureNames() []string {
	names := make([]string, 0, len(definitions)+1)
	for _, d := range definitions {
		names = append(names, d.name)
	}
	return append(names, Classes)
}

func confidenceMean(r *predictionlog.Row) float64 {
	return boxMean(func(_ *predictionlog.Row, b predictionlog.Box) float64 { return float64(b.Confidence) })(r)
}

func confidenceMax(r *predictionlog.Row) float64 {
	if len(r.Boxes) == 0 {
		return math.NaN()
	}
	return float64(slices.MaxFunc(r.Boxes, func(a, b predictionlog.Box) int { return cmp.Compare(a.Confidence, b.Confidence) }).Confidence)
}

func indicator(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// boxMean averages over the photo's boxes those values that are finite.
func boxMean(of func(*predictionlog.Row, predictionlog.Box) float64) func(*predictionlog.Row) float64 {
	return func(r *predictionlog.Row) float64 {
		sum, n := 0.0, 0
		for _, b := range r.Boxes {
			if x := of(r, b); finite(x) {
				sum, n = sum+x, n+1
			}
		}
		return sum / float64(n) // NaN for none
	}
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

// distinct returns the rows sorted by time and id, each id once: order and
// duplicates of the log never show in a report.
func distinct(rows []predictionlog.Row) []predictionlog.Row {
	out := slices.Clone(rows)
	slices.SortStableFunc(out, func(a, b predictionlog.Row) int {
		return cmp.Or(cmp.Compare(a.TimeMicros, b.TimeMicros), cmp.Compare(a.ID, b.ID))
	})
	seen := make(map[string]bool, len(out))
	return slices.DeleteFunc(out, func(r predictionlog.Row) bool {
		if r.ID == "" { // a reference's rows may carry none
			return false
		}
		dup := seen[r.ID]
		seen[r.ID] = true
		return dup
	})
}
