package loss

import "math"

// dual is a number together with its derivatives by the four raw box outputs of
// one anchor: forward-mode differentiation, exact and hard to get wrong.
type dual struct {
	v float64
	d [4]float64
}

func number(v float64) dual { return dual{v: v} }

// chain is f(a) given f's value and derivative at a.
func chain(a dual, v, derivative float64) dual {
	r := dual{v: v}
	for i := range a.d {
		r.d[i] = a.d[i] * derivative
	}
	return r
}

func add(a, b dual) dual {
	for i := range a.d {
		a.d[i] += b.d[i]
	}
	a.v += b.v
	return a
}

func sub(a, b dual) dual { return add(a, scale(b, -1)) }

func scale(a dual, k float64) dual { return chain(a, a.v*k, k) }

func mul(a, b dual) dual {
	r := dual{v: a.v * b.v}
	for i := range r.d {
		r.d[i] = a.d[i]*b.v + a.v*b.d[i]
	}
	return r
}

func square(a dual) dual { return chain(a, a.v*a.v, 2*a.v) }

func div(a, b dual) dual { return mul(a, chain(b, 1/b.v, -1/(b.v*b.v))) }

func atan(a dual) dual { return chain(a, math.Atan(a.v), 1/(1+a.v*a.v)) }

func maximum(a, b dual) dual {
	if a.v > b.v {
		return a
	}
	return b
}

func minimum(a, b dual) dual {
	if a.v < b.v {
		return a
	}
	return b
}
