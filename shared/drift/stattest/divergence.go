package stattest

import (
	"fmt"
	"math"
	"slices"
)

// sturges bins both sides on common edges: numpy's "sturges" rule over the
// concatenation, the last bin closed on the right.
func sturges(reference, current []float64) counts[float64] {
	lo := min(slices.Min(reference), slices.Min(current))
	hi := max(slices.Max(reference), slices.Max(current))
	width := (hi - lo) / (math.Log2(float64(len(reference)+len(current))) + 1)
	bins := max(int(math.Ceil((hi-lo)/width)), 1)
	t := counts[float64]{reference: make([]float64, bins), current: make([]float64, bins)}
	edges := make([]float64, bins+1)
	for i := range edges {
		edges[i] = lo + float64(i)*((hi-lo)/float64(bins))
	}
	edges[bins] = hi
	count := func(values, into []float64) {
		for _, v := range values {
			i, found := slices.BinarySearch(edges, v)
			if !found {
				i--
			}
			into[min(i, bins-1)]++
		}
	}
	count(reference, t.reference)
	count(current, t.current)
	return t
}

// divergence compares two histograms on the same bins.
func divergence(m Method, reference, current []float64) (float64, error) {
	r, c := shares(reference), shares(current)
	switch m {
	case JensenShannon:
		return jensenShannon(r, c), nil
	case PSI:
		fillZeros(r)
		fillZeros(c)
		s := 0.0
		for i := range r {
			s += (r[i] - c[i]) * math.Log(r[i]/c[i])
		}
		return s, nil
	case KL:
		fillZeros(r)
		fillZeros(c)
		r, c = shares(r), shares(c)
		s := 0.0
		for i := range r {
			s += r[i] * math.Log(r[i]/c[i])
		}
		return s, nil
	}
	return 0, fmt.Errorf("%q is no divergence", m)
}

// jensenShannon is the Jensen-Shannon distance, in [0, sqrt(ln 2)].
func jensenShannon(p, q []float64) float64 {
	s := 0.0
	for i := range p {
		mean := (p[i] + q[i]) / 2
		if p[i] > 0 {
			s += p[i] * math.Log(p[i]/mean)
		}
		if q[i] > 0 {
			s += q[i] * math.Log(q[i]/mean)
		}
	}
	return math.Sqrt(max(s/2, 0))
}

// fillZeros replaces empty bins as Evidently does, so that logarithms exist: by
// 1e-4, or by a millionth of the smallest share where that is smaller still.
func fillZeros(p []float64) {
	smallest := math.Inf(1)
	for _, x := range p {
		if x > 0 {
			smallest = min(smallest, x)
		}
	}
	fill := 1e-4
	if smallest <= 1e-4 {
		fill = smallest / 1e6
	}
	for i, x := range p {
		if x == 0 {
			p[i] = fill
		}
	}
}

func shares(counts []float64) []float64 {
	total, p := sum(counts), make([]float64, len(counts))
	for i, c := range counts {
		p[i] = c / total
	}
	return p
}
