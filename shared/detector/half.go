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
