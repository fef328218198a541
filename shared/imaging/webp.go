package imaging

import (
	"bytes"
	"image"

	"github.com/litterloop/litterloop/shared/errs"
	"golang.org/x/image/webp"
)

// decodeWebP fills im in stored orientation; transparency is dropped.
func decodeWebP(im *Image, photo []byte) error {
	m, err := webp.Decode(bytes.NewReader(photo))
	if err != nil {
		return errs.Permanentf(Unreadable, "decode WebP: %w", err)
	}
	b := m.Bounds()
	im.size(b.Dx(), b.Dy())
	switch m := m.(type) {
	case *image.YCbCr:
		upsample(im, m)
	case *image.NYCbCrA:
		upsample(im, &m.YCbCr)
	case *image.NRGBA:
		for y := range im.H {
			take(im.Pix[3*y*im.W:3*(y+1)*im.W], m.Pix[y*m.Stride:], 4, 0, 1, 2)
		}
	default:
		return errs.Permanentf(Unsupported, "WebP of colour model %T is not supported", m)
	}
	return nil
}

// upsample converts 4:2:0 to RGB with libwebp's "fancy" upsampling: each chroma
// sample is the mean of its four neighbours weighted 9:3:3:1, in libwebp's own
// order of integer divisions, so that pixels equal libwebp's.
func upsample(im *Image, m *image.YCbCr) {
	w, h := im.W, im.H
	cw, ch := (w+1)/2, (h+1)/2
	for y := range h {
		near := y / 2
		far := near - 1
		if y%2 == 1 {
			far = near + 1
		}
		far = min(max(far, 0), ch-1)
		u0, v0 := m.Cb[near*m.CStride:], m.Cr[near*m.CStride:]
		u1, v1 := m.Cb[far*m.CStride:], m.Cr[far*m.CStride:]
		for x := range w {
			near := x / 2
			far := near - 1
			if x%2 == 1 {
				far = near + 1
			}
			u, v := 0, 0
			if far < 0 || far >= cw {
				u, v = edge(u0[near], u1[near]), edge(v0[near], v1[near])
			} else {
				u = fancy(u0[near], u0[far], u1[near], u1[far])
				v = fancy(v0[near], v0[far], v1[near], v1[far])
			}
			k := 3 * (y*w + x)
			l := int(m.Y[y*m.YStride+x])
			im.Pix[k], im.Pix[k+1], im.Pix[k+2] = yuvToRGB(l, u, v)
		}
	}
}

// edge is the chroma of the first and, for even widths, the last column.
func edge(near, far byte) int { return (3*int(near) + int(far) + 2) >> 2 }

// fancy mixes the nearest sample, its neighbour in the row, the one in the
// column, and the diagonal one.
func fancy(near, row, column, diagonal byte) int {
	n, r, c, d := int(near), int(row), int(column), int(diagonal)
	return ((n+r+c+d+8+2*(r+c))>>3 + n) >> 1
}

// yuvToRGB is libwebp's conversion (src/dsp/yuv.h), 14-bit fixed point.
func yuvToRGB(y, u, v int) (r, g, b byte) {
	l := y * 19077 >> 8
	return clip6(l + v*26149>>8 - 14234), clip6(l - u*6419>>8 - v*13320>>8 + 8708), clip6(l + u*33050>>8 - 17685)
}

func clip6(v int) byte { return byte(min(max(v>>6, 0), 255)) }
