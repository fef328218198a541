package imaging

import (
	"bytes"
	"image"
	"image/color"
	"image/png"

	"github.com/litterloop/litterloop/shared/errs"
)

// decodePNG fills im in stored orientation. Transparency is dropped, not
// blended, and 16 bits are cut to the upper 8, as OpenCV does.
func decodePNG(im *Image, photo []byte) error {
	m, err := png.Decode(bytes.NewReader(photo))
	if err != nil {
		return errs.Permanentf(Unreadable, "decode PNG: %w", err)
	}
	b := m.Bounds()
	im.size(b.Dx(), b.Dy())
	for y := range im.H {
		dst := im.Pix[3*y*im.W : 3*(y+1)*im.W]
		switch m := m.(type) {
		case *image.RGBA:
			take(dst, m.Pix[y*m.Stride:], 4, 0, 1, 2)
		case *image.NRGBA:
			take(dst, m.Pix[y*m.Stride:], 4, 0, 1, 2)
		case *image.RGBA64:
			take(dst, m.Pix[y*m.Stride:], 8, 0, 2, 4)
		case *image.NRGBA64:
			take(dst, m.Pix[y*m.Stride:], 8, 0, 2, 4)
		case *image.Gray:
			take(dst, m.Pix[y*m.Stride:], 1, 0, 0, 0)
		case *image.Gray16:
			take(dst, m.Pix[y*m.Stride:], 2, 0, 0, 0)
		case *image.Paletted:
			for x := range im.W {
				c := color.NRGBAModel.Convert(m.Palette[m.Pix[y*m.Stride+x]]).(color.NRGBA)
				dst[3*x], dst[3*x+1], dst[3*x+2] = c.R, c.G, c.B
			}
		default:
			return errs.Permanentf(Unsupported, "PNG of colour model %T is not supported", m)
		}
	}
	return nil
}

// take copies three bytes, at r, g and b, of every step bytes of src.
func take(dst, src []byte, step, r, g, b int) {
	for k, i := 0, 0; k < len(dst); k, i = k+3, i+step {
		dst[k], dst[k+1], dst[k+2] = src[i+r], src[i+g], src[i+b]
	}
}
