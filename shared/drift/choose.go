package drift

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/litterloop/litterloop/shared/predictionlog"
)

// shownDiffering is how many of the photos that differ most a report shows.
const shownDiffering = 12

// place is a photo in feature space: in each numeric feature, how many of the
// reference's standard deviations it lies from the reference's mean; 0 where it
// has none.
type place []float64

// choose picks the photos that differ most and those most worth labelling.
func choose(p Policy, r *Report, reference side, window []predictionlog.Row) (differ, label []Photo) {
	var watched []definition
	for _, d := range definitions {
		if slices.Contains(p.Features, d.name) {
			watched = append(watched, d)
		}
	}
	places := make([]place, len(window))
	for i := range places {
		places[i] = make(place, len(watched))
	}
	for f, d := range watched {
		mean, deviation := moments(reference.values(d))
		deviation = max(deviation, d.resolution)
		for i := range window {
			if x := d.of(&window[i]); finite(x) {
				places[i][f] = (x - mean) / deviation
			}
		}
	}
	novelty := make([]float64, len(window))
	order := make([]int, len(window))
	for i, at := range places {
		for _, z := range at {
			novelty[i] += math.Min(z*z, 100) // one wild number must not outweigh all others
		}
		novelty[i] = math.Sqrt(novelty[i] / float64(max(len(at), 1)))
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(novelty[b], novelty[a]) })
	for _, i := range order[:min(shownDiffering, len(order))] {
		differ = append(differ, describe(window[i], novelty[i], watched, places[i]))
	}
	for _, i := range selectForLabelling(window, places, novelty, p.ToLabel) {
		label = append(label, describe(window[i], novelty[i]+uncertainty(window[i]), watched, places[i]))
	}
	return differ, label
}

// selectForLabelling picks count photos that are uncertain, novel and unlike
// each other: greedily the photo with the largest product of worth (novelty and
// uncertainty) and distance to the nearest one already picked (k-centre). Photos
// that were not kept can't be labelled; they are listed only where none was kept.
func selectForLabelling(window []predictionlog.Row, places []place, novelty []float64, count int) []int {
	kept := slices.ContainsFunc(window, func(r predictionlog.Row) bool { return r.Photo != "" })
	taken, left := make([]bool, len(window)), 0
	worth, nearest := make([]float64, len(window)), make([]float64, len(window))
	for i := range window {
		worth[i] = 0.1 + novelty[i] + uncertainty(window[i])
		nearest[i] = 1
		if taken[i] = kept && window[i].Photo == ""; !taken[i] {
			left++
		}
	}
	var picked []int
	for len(picked) < min(count, left) {
		best := -1
		for i := range window {
			if !taken[i] && (best < 0 || worth[i]*nearest[i] > worth[best]*nearest[best]) {
				best = i
			}
		}
		taken[best] = true
		picked = append(picked, best)
		for i := range window {
			d := 0.0
			for f := range places[i] {
				d += math.Abs(places[i][f] - places[best][f])
			}
			d /= float64(max(len(places[i]), 1))
			if len(picked) == 1 || d < nearest[i] {
				nearest[i] = d
			}
		}
	}
	return picked
}

// uncertainty of a photo's answer in [0, 1]: how near its boxes' confidences
// are to a coin's toss, on average; a photo without boxes may have missed some.
func uncertainty(r predictionlog.Row) float64 {
	if len(r.Boxes) == 0 {
		return 0.5
	}
	s := 0.0
	for _, b := range r.Boxes {
		s += 1 - math.Abs(2*float64(b.Confidence)-1)
	}
	return s / float64(len(r.Boxes))
}

// describe says which two features set the photo apart most.
func describe(r predictionlog.Row, score float64, watched []definition, at place) Photo {
	p := Photo{ID: r.ID, Photo: r.Photo, Score: score, Boxes: len(r.Boxes), Width: int(r.Width), Height: int(r.Height)}
	order := make([]int, len(at))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(math.Abs(at[b]), math.Abs(at[a])) })
	for _, f := range order[:min(2, len(order))] {
		if math.Abs(at[f]) >= 1 {
			p.Why = append(p.Why, fmt.Sprintf("%s %+.1f sd", watched[f].name, at[f]))
		}
	}
	return p
}

func moments(values []float64) (average, deviation float64) {
	average = mean(values)
	for _, v := range values {
		deviation += (v - average) * (v - average) / float64(len(values))
	}
	return average, math.Sqrt(deviation)
}
