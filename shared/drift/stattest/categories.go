package stattest

import (
	"math"

	"gonum.org/v1/gonum/stat/distuv"
)

// chiSquare is the p-value of Pearson's test of the current counts against the
// reference's shares. A value that the reference never showed makes the
// statistic infinite and p exactly 0; a single value gives NaN.
func chiSquare(reference, current []float64) float64 {
	if len(reference) < 2 {
		return math.NaN()
	}
	scale := sum(current) / sum(reference)
	statistic := 0.0
	for i, r := range reference {
		expected := r * scale
		d := current[i] - expected
		statistic += d * d / expected
	}
	return distuv.ChiSquared{K: float64(len(reference) - 1)}.Survival(statistic)
}

// proportions is the two-sided p-value of the pooled z-test on the share of
// values other than the smallest.
func proportions(reference, current []float64) float64 {
	n1, n2 := sum(reference), sum(current)
	x1, x2 := n1-reference[0], n2-current[0]
	pooled := (x1 + x2) / (n1 + n2)
	if pooled == 0 || pooled == 1 {
		return 1 // both sides constant, and equal
	}
	z := (x1/n1 - x2/n2) / math.Sqrt(pooled*(1-pooled)*(1/n1+1/n2))
	return 2 * distuv.UnitNormal.Survival(math.Abs(z))
}
