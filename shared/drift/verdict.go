package drift

import (
	"math"
	"slices"

	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"
)

// Verdict is what a check decides.
//
// Score is the sum over features of distance / spread, where spread is the
// feature's own standard deviation over harmless windows of the same size. The
// same sum is taken of each of those Windows; Threshold is what the next
// harmless window exceeds with the chance Level.
type Verdict struct {
	Outcome   Outcome `json:"outcome"`
	Reason    string  `json:"reason"` // the verdict in words
	Score     float64 `json:"score"`
	Threshold float64 `json:"threshold"`
	Level     float64 `json:"level"`
	// P is the chance that a harmless window reaches Score.
	P       float64 `json:"p"`
	Windows int     `json:"windows"` // harmless windows that the spread was taken from
	// Harmless is the distribution of their sums.
	Harmless Histogram `json:"harmless"`
}

// null describes the distances of harmless windows.
type null struct {
	typical, spread []float64 // of each feature
	sums            []float64 // of each window
}

// newNull standardises harmless windows' distances, one row a window. The
// spread of feature i is resolution(i) at least.
//
// A feature that a window lacks (no photo has a box: no position of boxes) counts
// as its typical distance, neither for nor against: other features, such as the
// empty rate, tell of what is missing.
//
// Each window's own sum uses the spread of the other windows, as the checked
// window uses that of windows it is not among: with a few dozen windows an odd
// one would otherwise widen the very spread it is measured by, and look tamer
// than the next odd one will.
func newNull(distances [][]float64, resolution func(i int) float64) null {
	features, count := len(distances[0]), float64(len(distances))
	n := null{make([]float64, features), make([]float64, features), make([]float64, len(distances))}
	values := make([]float64, len(distances))
	for f := range features {
		present := values[:0]
		for _, d := range distances {
			if finite(d[f]) {
				present = append(present, d[f])
			}
		}
		n.typical[f] = mean(present)
		values = values[:len(distances)]
		for w, d := range distances {
			values[w] = orElse(d[f], n.typical[f])
		}
		average, variance := stat.MeanVariance(values, nil)
		n.spread[f] = max(math.Sqrt(variance), resolution(f))
		for w, d := range values {
			others := ((count-1)*variance - (d-average)*(d-average)*count/(count-1)) / (count - 2)
			n.sums[w] += d / max(math.Sqrt(max(others, 0)), resolution(f))
		}
	}
	return n
}

func (n *null) sum(distances []float64) (s float64) {
	for f, d := range distances {
		s += orElse(d, n.typical[f]) / n.spread[f]
	}
	return s
}

// orElse is x, or fallback when x is no number.
func orElse(x, fallback float64) float64 {
	if finite(x) {
		return x
	}
	return fallback
}

// mean of values, 0 for none.
func mean(values []float64) (m float64) {
	for _, v := range values {
		m += v / float64(len(values))
	}
	return m
}

// limit is the tail of the harmless sums: what the next one exceeds with a given
// chance. For all distances between distributions that tail falls off about
// exponentially.
type limit interface {
	// threshold is the sum that a harmless window exceeds with the chance level.
	threshold(level float64) float64
	// p is the chance that a harmless window's sum reaches s.
	p(s float64) float64
}

// tailShare is the share of random splits that the tail is fitted to.
const tailShare = 0.05

// excess is the limit of thousands of windows: their own distribution up to the
// top 5 %, and an exponential of the same mean excess beyond (peaks over
// threshold), so that levels are reached that no number of windows would show.
type excess struct {
	sums       []float64 // ascending
	from, mean float64   // where the tail begins, and its mean excess
}

func newExcess(sums []float64) excess {
	sorted := slices.Sorted(slices.Values(sums))
	tail := sorted[len(sorted)-max(int(tailShare*float64(len(sorted))), 1):]
	from := sorted[max(len(sorted)-len(tail)-1, 0)]
	// A constant sum (nothing varies) leaves no excess to scale by.
	return excess{sorted, from, max(stat.Mean(tail, nil)-from, 1e-6)}
}

func (e excess) threshold(level float64) float64 {
	if level >= tailShare {
		return stat.Quantile(1-level, stat.Empirical, e.sums, nil)
	}
	return e.from + e.mean*math.Log(tailShare/level)
}

func (e excess) p(s float64) float64 {
	if s > e.from {
		return tailShare * math.Exp(-(s-e.from)/e.mean)
	}
	i, _ := slices.BinarySearch(e.sums, s)
	return float64(len(e.sums)-i) / float64(len(e.sums))
}

// prediction is the limit of a few dozen past windows. The logarithm of their
// sums is taken as normal; with mean and deviation estimated from n windows,
// (x - mean) / (deviation √(1+1/n)) of the next window is Student's t with n-1
// degrees of freedom: the fewer the windows, the wider the limit.
type prediction struct {
	mean, scale float64
	t           distuv.StudentsT
}

func newPrediction(sums []float64) prediction {
	logs := make([]float64, len(sums))
	for i, s := range sums {
		logs[i] = math.Log(max(s, 1e-9))
	}
	mean, deviation := stat.MeanStdDev(logs, nil)
	n := float64(len(sums))
	return prediction{mean, max(deviation*math.Sqrt(1+1/n), 1e-3), distuv.StudentsT{Sigma: 1, Nu: n - 1}}
}

func (l prediction) threshold(level float64) float64 {
	return math.Exp(l.mean + l.scale*l.t.Quantile(1-level))
}

func (l prediction) p(s float64) float64 {
	return l.t.Survival((math.Log(max(s, 1e-9)) - l.mean) / l.scale)
}
