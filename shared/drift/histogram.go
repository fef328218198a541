package drift

import "slices"

// Histogram is a distribution for people: shares of bins that both sides of a
// feature have in common. Edges (in the unit people read) has one more element
// than Shares; for the class mix Labels names the bins instead.
type Histogram struct {
	Edges  []float64 `json:"edges,omitempty"`
	Labels []string  `json:"labels,omitempty"`
	Shares []float64 `json:"shares"`
	Mean   float64   `json:"mean"`
	Values int       `json:"values"`
}

// bins of a numeric histogram: enough to see a shape, few enough for a window
// of 30 photos.
const bins = 16

// histograms of one feature on both sides.
func (d definition) histograms(reference, current side) (r, c Histogram) {
	x, y := reference.values(d), current.values(d)
	all := slices.Concat(x, y)
	if len(all) == 0 {
		return r, c
	}
	lo, hi := slices.Min(all), slices.Max(all)
	if lo == hi {
		lo, hi = lo-d.resolution, hi+d.resolution
	}
	edges := make([]float64, bins+1)
	for i := range edges {
		edges[i] = d.shown(lo + (hi-lo)*float64(i)/bins)
	}
	fill := func(values []float64) Histogram {
		h := Histogram{Edges: edges, Shares: make([]float64, bins), Values: len(values)}
		for _, v := range values {
			h.Shares[min(int((v-lo)/(hi-lo)*bins), bins-1)] += 1 / float64(len(values))
			h.Mean += v / float64(len(values))
		}
		h.Mean = d.shown(h.Mean)
		return h
	}
	return fill(x), fill(y)
}

// shown is a value of the feature in the unit that people read.
func (d definition) shown(x float64) float64 {
	if d.display != nil {
		x = d.display(x)
	}
	return x
}

func classHistograms(reference, current side) (r, c Histogram) {
	x, y := reference.boxClasses(), current.boxClasses()
	labels := slices.Concat(x, y)
	slices.Sort(labels)
	labels = slices.Compact(labels)
	fill := func(values []string) Histogram {
		h := Histogram{Labels: labels, Shares: make([]float64, len(labels)), Values: len(values)}
		for _, v := range values {
			i, _ := slices.BinarySearch(labels, v)
			h.Shares[i] += 1 / float64(len(values))
		}
		return h
	}
	return fill(x), fill(y)
}

// histogramOf describes plain numbers, for drawing.
func histogramOf(values []float64, bins int) Histogram {
	lo, hi := slices.Min(values), slices.Max(values)
	if lo == hi {
		hi = lo + 1
	}
	h := Histogram{Edges: make([]float64, bins+1), Shares: make([]float64, bins), Values: len(values)}
	for i := range h.Edges {
		h.Edges[i] = lo + (hi-lo)*float64(i)/float64(bins)
	}
	for _, v := range values {
		h.Shares[min(int((v-lo)/(hi-lo)*float64(bins)), bins-1)] += 1 / float64(len(values))
		h.Mean += v / float64(len(values))
	}
	return h
}
