package stattest

import "math"

// kolmogorovSurvival is P(D_n ≥ d) of the two-sided one-sample statistic, by
// the regions of R. Simard and P. L'Ecuyer, "Computing the two-sided
// Kolmogorov-Smirnov distribution" (2011): exact where n is small or d is
// extreme, Pelz and Good's expansion elsewhere.
func kolmogorovSurvival(n int, d float64) float64 {
	t, nd2 := float64(n)*d, float64(n)*d*d
	switch {
	case d >= 1:
		return 0
	case t <= 0.5:
		return 1
	case d >= 0.5, n > 140 && nd2 >= 2.2, nd2 > 4:
		return clip(2 * smirnovSurvival(n, d))
	case n <= 140, n <= 100_000 && t*math.Sqrt(d) <= 1.4:
		return clip(1 - durbin(n, d))
	}
	return clip(1 - pelzGood(n, d))
}

// smirnovSurvival is P(D_n⁺ ≥ d) of the one-sided statistic (Birnbaum and
// Tingey 1951); all its terms are positive.
func smirnovSurvival(n int, d float64) float64 {
	N := float64(n)
	lgN, _ := math.Lgamma(N + 1)
	s := 0.0
	for j := 0; j <= int(N*(1-d)); j++ {
		x := d + float64(j)/N
		if x >= 1 {
			break
		}
		a, _ := math.Lgamma(float64(j) + 1)
		b, _ := math.Lgamma(float64(n-j) + 1)
		s += math.Exp(lgN - a - b + float64(n-j)*math.Log1p(-x) + float64(j-1)*math.Log(x))
	}
	return d * s
}

// durbin is P(D_n < d) as the middle of a power of Durbin's matrix (Marsaglia,
// Tsang and Wang 2003).
func durbin(n int, d float64) float64 {
	k := int(math.Ceil(float64(n) * d))
	m, h := 2*k-1, float64(k)-float64(n)*d
	H := newSquare(m)
	inverse := make([]float64, m+1) // 1/i!
	inverse[0] = 1
	for i := 1; i <= m; i++ {
		inverse[i] = inverse[i-1] / float64(i)
	}
	for i := range m {
		for j := 1; j < m; j++ {
			if i-j+1 >= 0 {
				H.at[i*m+j] = inverse[i-j+1]
			}
		}
	}
	for i := range m - 1 {
		v := (1 - math.Pow(h, float64(i+1))) * inverse[i+1]
		H.at[i*m] = v
		H.at[(m-1)*m+m-1-i] = v
	}
	H.at[(m-1)*m] = (1 + math.Pow(max(2*h-1, 0), float64(m)) - 2*math.Pow(h, float64(m))) * inverse[m]

	power, exponent := H.power(n, k-1)
	p := power.at[(k-1)*m+k-1]
	for i := 1; i <= n; i++ {
		p *= float64(i) / float64(n)
		if p < 0x1p-400 {
			p, exponent = p*0x1p400, exponent-400
		}
	}
	return math.Ldexp(p, exponent)
}

// square is a square matrix, rows after one another.
type square struct {
	m  int
	at []float64
}

func newSquare(m int) square { return square{m, make([]float64, m*m)} }

func (a square) times(b square) square {
	c := newSquare(a.m)
	for i := range a.m {
		row := c.at[i*a.m : (i+1)*a.m]
		for k := range a.m {
			x := a.at[i*a.m+k]
			for j, y := range b.at[k*a.m : (k+1)*a.m] {
				row[j] += x * y
			}
		}
	}
	return c
}

// power is a to the n, divided by 2 to the exponent; the element (pivot, pivot)
// is kept in range.
func (a square) power(n, pivot int) (result square, exponent int) {
	result = newSquare(a.m)
	for i := range a.m {
		result.at[i*a.m+i] = 1
	}
	scale := 0
	for ; n > 0; n /= 2 {
		if n%2 == 1 {
			result, exponent = result.times(a), exponent+scale
			exponent += result.rescale(pivot)
		}
		a, scale = a.times(a), 2*scale
		scale += a.rescale(pivot)
	}
	return result, exponent
}

func (a square) rescale(pivot int) int {
	if a.at[pivot*a.m+pivot] < 0x1p400 {
		return 0
	}
	for i := range a.at {
		a.at[i] *= 0x1p-400
	}
	return 400
}

// pelzGood is P(D_n < d) by Pelz and Good's asymptotic expansion (1976) to the
// order n^(-3/2), good to 1e-7 for n > 140 in the region where it is used.
func pelzGood(n int, d float64) float64 {
	const pi2, pi4, pi6 = math.Pi * math.Pi, math.Pi * math.Pi * math.Pi * math.Pi, math.Pi * math.Pi * math.Pi * math.Pi * math.Pi * math.Pi
	root := math.Sqrt(float64(n))
	z := root * d
	z2, z4, z6 := z*z, math.Pow(z, 4), math.Pow(z, 6)
	var k0, k1, k2, k3 float64
	terms := int(math.Ceil(16*z/math.Pi)) + 1
	for k := terms; k >= 1; k-- {
		// Over odd multiples u of π/2.
		u2 := math.Pow(float64(2*k-1), 2)
		u4, u6 := u2*u2, u2*u2*u2
		q := math.Exp(-u2 * pi2 / 8 / z2)
		k0 += q
		k1 += q * (-z2 + pi2/4*u2)
		k2 += q * (6*z6 + 2*z4 + (2*z4-5*z2)*pi2/4*u2 + pi4*(1-2*z2)/16*u4)
		k3 += q * (-30*z6 - 90*z6*z2 + pi2*(135*z4-96*z6)/4*u2 + pi4*(-60*z2+212*z4)/16*u4 + pi6*(5-30*z2)/64*u6)
	}
	s := math.Sqrt(2 * math.Pi)
	k0 *= s / z
	k1 *= s / (6 * z4)
	k2 *= s / (72 * z6 * z)
	k3 *= s / (6480 * z6 * z4)
	for k := terms; k >= 1; k-- {
		// Over all multiples of π.
		kk := float64(k) * float64(k)
		q := math.Exp(-kk * pi2 / 2 / z2)
		k2 -= q * kk * pi2 * s / (36 * z2 * z)
		k3 += q * kk * (3*z2 - kk*pi2) * pi2 * s / (216 * z6)
	}
	return k0 + k1/root + k2/float64(n) + k3/(root*float64(n))
}
