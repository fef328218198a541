// Package stattest is Evidently's default set of drift tests for one column,
// with its choice of test by column type and sample size and its thresholds,
// equal to Evidently 0.7.23 to 1e-6. Scores of ks, chisquare and z are p-values
// (small: drift), the others are distances (large: drift).
package stattest

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
)

// Method names a test as Evidently does.
type Method string

// The tests.
const (
	KS            Method = "ks"            // two-sample Kolmogorov-Smirnov, p-value
	ChiSquare     Method = "chisquare"     // Pearson's chi-square, p-value
	Z             Method = "z"             // two proportions, p-value
	Wasserstein   Method = "wasserstein"   // Wasserstein-1 over the reference's standard deviation
	JensenShannon Method = "jensenshannon" // square root of the divergence, natural logarithm
	PSI           Method = "psi"           // population stability index
	KL            Method = "kl_div"        // Kullback-Leibler divergence of the reference from the current
)

// Methods lists every test.
func Methods() []Method { return []Method{KS, ChiSquare, Z, Wasserstein, JensenShannon, PSI, KL} }

// Known tells whether m is one of Methods.
func (m Method) Known() bool { return slices.Contains(Methods(), m) }

// ForCategories tells whether m takes categories: ks and wasserstein need an
// order.
func (m Method) ForCategories() bool { return m.Known() && m != KS && m != Wasserstein }

// IsPValue tells whether m's score is a p-value.
func (m Method) IsPValue() bool { return m == KS || m == ChiSquare || m == Z }

// Threshold is Evidently's default threshold of m.
func (m Method) Threshold() float64 {
	if m.IsPValue() {
		return 0.05
	}
	return 0.1
}

// Drifted applies m's threshold to a score, with Evidently's choice of a strict
// or a weak inequality. A score that is not a number is no drift.
func (m Method) Drifted(score float64) bool {
	switch {
	case m == KS:
		return score <= m.Threshold()
	case m.IsPValue():
		return score < m.Threshold()
	}
	return score >= m.Threshold()
}

// ErrEmpty is returned when either side has no value left after those that are
// not finite were dropped.
var ErrEmpty = errors.New("no values to test")

// largeReference is the number of reference values above which Evidently turns
// from p-values, which find any difference in large samples, to distances.
const largeReference = 1000

// DefaultNumeric is the test that Evidently picks for a numeric column.
func DefaultNumeric(reference, current []float64) Method {
	reference, current = finite(reference), finite(current)
	values := len(tally(reference, current).values)
	switch {
	case len(reference) > largeReference && values <= 5:
		return JensenShannon
	case len(reference) > largeReference:
		return Wasserstein
	case values <= 2:
		return Z
	case values <= 5:
		return ChiSquare
	}
	return KS
}

// DefaultCategorical is the test that Evidently picks for a categorical column.
func DefaultCategorical(reference, current []string) Method {
	switch {
	case len(reference) > largeReference:
		return JensenShannon
	case len(tally(reference, current).values) <= 2:
		return Z
	}
	return ChiSquare
}

// Numeric returns m's score of a numeric column. Values that are not finite are
// dropped first, on each side by itself. chisquare of a column with a single
// value is NaN.
func Numeric(m Method, reference, current []float64) (float64, error) {
	reference, current = finite(reference), finite(current)
	if len(reference) == 0 || len(current) == 0 {
		return 0, fmt.Errorf("%s of %d reference and %d current values: %w", m, len(reference), len(current), ErrEmpty)
	}
	switch m {
	case KS:
		return ks(reference, current), nil
	case Wasserstein:
		return wasserstein(reference, current), nil
	case JensenShannon, PSI, KL:
		t := tally(reference, current)
		if t.distinctReference() > 20 {
			t = sturges(reference, current)
		}
		return divergence(m, t.reference, t.current)
	}
	return score(m, tally(reference, current))
}

// Categorical returns m's score of a categorical column.
func Categorical(m Method, reference, current []string) (float64, error) {
	if len(reference) == 0 || len(current) == 0 {
		return 0, fmt.Errorf("%s of %d reference and %d current values: %w", m, len(reference), len(current), ErrEmpty)
	}
	return score(m, tally(reference, current))
}

func score[T cmp.Ordered](m Method, t counts[T]) (float64, error) {
	switch m {
	case ChiSquare:
		return chiSquare(t.reference, t.current), nil
	case Z:
		return proportions(t.reference, t.current), nil
	case JensenShannon, PSI, KL:
		return divergence(m, t.reference, t.current)
	}
	return 0, fmt.Errorf("test %q does not apply to categories", m)
}

// counts are how often each value of the union occurs on either side.
type counts[T cmp.Ordered] struct {
	values             []T // ascending
	reference, current []float64
}

func tally[T cmp.Ordered](reference, current []T) counts[T] {
	values := append(slices.Clone(reference), current...)
	slices.Sort(values)
	values = slices.Compact(values)
	t := counts[T]{values, make([]float64, len(values)), make([]float64, len(values))}
	for _, v := range reference {
		i, _ := slices.BinarySearch(values, v)
		t.reference[i]++
	}
	for _, v := range current {
		i, _ := slices.BinarySearch(values, v)
		t.current[i]++
	}
	return t
}

func (t counts[T]) distinctReference() (n int) {
	for _, c := range t.reference {
		if c > 0 {
			n++
		}
	}
	return n
}

func finite(values []float64) []float64 {
	return slices.DeleteFunc(slices.Clone(values), func(x float64) bool { return math.IsNaN(x) || math.IsInf(x, 0) })
}

func sum(x []float64) (s float64) {
	for _, v := range x {
		s += v
	}
	return s
}
