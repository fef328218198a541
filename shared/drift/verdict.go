package drift

import (
	"math"

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
}

// null describes the distances of harmless windows.
type null struct {
	typical, spread []float64 // of each feature
	sums            []float64 // of each window
}

// newNull standardises harmless windows' distances, one row a window. The
// spread of feature i is resolution(i) at least.
func newNull(distances [][]float64, resolution func(i int) float64) null {
	features := len(distances[0])
	n := null{make([]float64, features), make([]float64, features), make([]float64, len(distances))}
	values := make([]float64, len(distances))
	for f := range features {
		for w := range distances {
			values[w] = distances[w][f]
		}
		mean, deviation := stat.MeanStdDev(values, nil)
		n.typical[f], n.spread[f] = mean, max(deviation, resolution(f))
	}
	for w := range distances {
		n.sums[w] = n.sum(distances[w])
	}
	return n
}

func (n *null) sum(distances []float64) (s float64) {
	for f, d := range distances {
		s += d / n.spread[f]
	}
	return s
}

// limit is the tail of the harmless sums. A sum of distances is positive and
// skewed to the right, much like a gamma variable, whose cube root is close to
// normal (Wilson and Hilferty 1931). On that scale the chance that the next
// window exceeds x, with mean and deviation estimated from n windows, is
// Student's t with n-1 degrees of freedom of (x - mean) / (deviation √(1+1/n)):
// the fewer the windows, the wider the limit.
type limit struct {
	mean, scale float64
	t           distuv.StudentsT
}

func (n *null) limit() limit {
	roots := make([]float64, len(n.sums))
	for i, s := range n.sums {
		roots[i] = math.Cbrt(s)
	}
	mean, deviation := stat.MeanStdDev(roots, nil)
	count := float64(len(roots))
	// Identical windows (a constant reference) leave no deviation to scale by.
	scale := max(deviation*math.Sqrt(1+1/count), 1e-3)
	return limit{mean, scale, distuv.StudentsT{Sigma: 1, Nu: count - 1}}
}

// threshold is the sum that a harmless window exceeds with the chance level.
func (l limit) threshold(level float64) float64 {
	return math.Pow(max(l.mean+l.scale*l.t.Quantile(1-level), 0), 3)
}

// p is the chance that a harmless window's sum reaches s.
func (l limit) p(s float64) float64 { return l.t.Survival((math.Cbrt(s) - l.mean) / l.scale) }
