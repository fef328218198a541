package imaging

import (
	"bytes"
	"image"
	"image/color"
	"image/jpeg"

	"github.com/litterloop/litterloop/shared/errs"
)

// decodeJPEG fills im in stored orientation.
func decodeJPEG(im *Image, photo []byte) error {
	if t := turbo(); t != nil {
		return t.decode(im, photo)
	}
	return decodeJPEGPlain(im, photo)
}

// decodeJPEGPlain is the fallback: several times slower than libjpeg-turbo, and
// its chroma is not smoothed, so edges of colours differ by some grey levels.
func decodeJPEGPlain(im *Image, photo []byte) error {
	m, err := jpeg.Decode(bytes.NewReader(photo))
	if err != nil {
		code := Unreadable
		if _, ok := err.(jpeg.UnsupportedError); ok {
			code = Unsupported
		}
		return errs.Permanentf(code, "decode JPEG: %w", err)
	}
	b := m.Bounds()
	im.size(b.Dx(), b.Dy())
	switch m := m.(type) {
	case *image.YCbCr:
		k := 0
		for y := b.Min.Y; y < b.Max.Y; y++ {
			for x := b.Min.X; x < b.Max.X; x++ {
				yi, ci := m.YOffset(x, y), m.COffset(x, y)
				im.Pix[k], im.Pix[k+1], im.Pix[k+2] = color.YCbCrToRGB(m.Y[yi], m.Cb[ci], m.Cr[ci])
				k += 3
			}
		}
	case *image.Gray:
		for y := range im.H {
			for x := range im.W {
				v := m.Pix[y*m.Stride+x]
				k := 3 * (y*im.W + x)
				im.Pix[k], im.Pix[k+1], im.Pix[k+2] = v, v, v
			}
		}
	case *image.CMYK:
		for y := range im.H {
			row := m.Pix[y*m.Stride : y*m.Stride+4*im.W]
			for i := range row {
				row[i] = ^row[i] // image/jpeg undoes Adobe's inversion; OpenCV does not
			}
			cmykToRGB(im.Pix[3*y*im.W:], row)
		}
	default:
		return errs.Permanentf(Unsupported, "JPEG of colour model %T is not supported", m)
	}
	return nil
}

// cmykToRGB converts inverted CMYK, as Adobe stores it, by OpenCV's rule
// (icvCvt_CMYK2BGR_8u_C4C3R).
func cmykToRGB(dst, cmyk []byte) {
	for i := 0; i+4 <= len(cmyk); i += 4 {
		k := int(cmyk[i+3])
		for c := range 3 {
			dst[i/4*3+c] = byte(k - (255-int(cmyk[i+c]))*k>>8)
		}
	}
}
