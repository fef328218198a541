package stattest

import (
	"math"
	"slices"
)

// exactLimit is the larger sample's size up to which the exact distribution of
// the two-sample statistic is computed (scipy's rule).
const exactLimit = 10_000

// ks is the two-sided p-value of the two-sample Kolmogorov-Smirnov test.
func ks(a, b []float64) float64 {
	a, b = slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b))
	n, m := len(a), len(b)
	// The statistic times lcm is an integer: h = max |i·(m/g) − j·(n/g)|.
	g := gcd(n, m)
	ng, mg := n/g, m/g
	h, i, j := 0, 0, 0
	for i < n && j < m {
		x := min(a[i], b[j])
		for i < n && a[i] == x {
			i++
		}
		for j < m && b[j] == x {
			j++
		}
		h = max(h, abs(i*mg-j*ng))
	}
	if h == 0 {
		return 1
	}
	if max(n, m) > exactLimit {
		d := float64(h) / float64(ng*m)
		return kolmogorovSurvival(int(math.RoundToEven(float64(n)*float64(m)/float64(n+m))), d)
	}
	if n == m {
		return outsideSquare(n, h)
	}
	return outsideBand(n, m, g, h)
}

// outsideSquare is the chance that a lattice path of 2n steps strays h or more
// from the diagonal, by Horner's scheme over the reflections.
func outsideSquare(n, h int) float64 {
	p := 0.0
	for k := n / h; k >= 0; k-- {
		p1 := 1.0
		for j := range h {
			p1 = float64(n-k*h-j) * p1 / float64(n+k*h+j+1)
		}
		p = p1 * (1 - p)
	}
	return clip(2 * p)
}

// outsideBand is the chance that a lattice path from (0,0) to (m,n) leaves the
// band |x/m − y/n| < h·g/(m·n). Column by column it keeps the chance, given
// that the path passes (i,j), that it has left the band before, which neither
// overflows nor cancels (T. Viehmann, arXiv:2102.08037).
func outsideBand(m, n, g, h int) float64 {
	if m < n {
		m, n = n, m
	}
	mg, ng := m/g, n/g
	lo, hi := 0, min(ceilDiv(h, mg), n+1)
	size := hi - lo
	column := make([]float64, min(2*hi+2, n+1))
	for i := range column {
		column[i] = 1
	}
	clear(column[:size])
	for i := 1; i <= m; i++ {
		lastLo, lastSize := lo, size
		lo = min(max(floorDiv(ng*i-h, mg)+1, 0), n)
		hi = min(ceilDiv(ng*i+h, mg), n+1)
		if hi <= lo {
			return 1
		}
		value := 1.0
		if lo == 0 {
			value = 0
		}
		for k := range hi - lo {
			j := k + lo
			value = (column[j-lastLo]*float64(i) + value*float64(j)) / float64(i+j)
			column[k] = value
		}
		size = hi - lo
		for k := size; k < lastSize; k++ {
			column[k] = 1
		}
	}
	return clip(column[size-1])
}

func clip(p float64) float64 { return min(max(p, 0), 1) }

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

func abs(x int) int { return max(x, -x) }

func floorDiv(a, b int) int {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

func ceilDiv(a, b int) int { return -floorDiv(-a, b) }
