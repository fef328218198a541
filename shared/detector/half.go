package detector

import (
	"encoding/binary"
	"math"
)

// narrow writes values from 0 to 1 as IEEE 754 half floats, rounding to the
// nearest and ties to even.
func narrow(dst []byte, src []float32) {
	for i, v := range src {
		binary.NativeEndian.PutUint16(dst[2*i:], half(v))
	}
}

func half(f float32) uint16 {
	b := math.Float32bits(f)
	exponent := int(b>>23&0xff) - 127
	mantissa := b&0x7fffff | 0x800000
	shift := uint(13)
	switch {
	case b&0x7fffffff == 0:
		return 0
	case exponent < -14: // subnormal
		shift += uint(-14 - exponent)
		exponent = -15
		if shift > 24 {
			return 0
		}
	}
	rounded := (mantissa + 1<<(shift-1) - 1 + mantissa>>shift&1) >> shift
	if exponent == -15 {
		return uint16(rounded)
	}
	return uint16(uint32(exponent+14)<<10 + rounded) // a carry of the mantissa raises the exponent, as it should
}

// widen reads half floats.
func widen(dst []float32, src []byte) []float32 {
	n := len(src) / 2
	if cap(dst) < n {
		dst = make([]float32, n)
	}
	dst = dst[:n]
	for i := range dst {
		dst[i] = single(binary.NativeEndian.Uint16(src[2*i:]))
	}
	return dst
}

func single(h uint16) float32 {
	sign := float32(1)
	if h&0x8000 != 0 {
		sign = -1
	}
	exponent, mantissa := int(h>>10&0x1f), float32(h&0x3ff)
	switch exponent {
	case 0:
		return sign * mantissa * 0x1p-24
	case 31:
		if mantissa != 0 {
			return float32(math.NaN())
		}
		return sign * float32(math.Inf(1))
	}
	return sign * float32(math.Ldexp(float64(1024+mantissa), exponent-25))
}
