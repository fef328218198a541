package imaging

import (
	"bytes"
	"image"
	"image/color"
	"image/jpeg"
	"slices"
	"strings"

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

// tolerated begin the warnings after which a photo is still whole: junk between
// segments and flipped bits are common in the wild, and OpenCV and browsers
// show such photos.
var tolerated = []string{
	"Corrupt JPEG data:", "Inconsistent progression sequence", "Invalid SOS parameters",
	"Unknown Adobe color transform", "Warning:",
}

// jpegFault says whether a message of libjpeg-turbo matters. A photo cut short
// is only a warning to the library, which paints the rest grey; here it is an
// error, since boxes on half a photo mislead. The library keeps the first
// warning alone, so the end is looked for too.
func jpegFault(message string, warning bool, photo []byte) error {
	if warning && slices.ContainsFunc(tolerated, func(p string) bool { return strings.HasPrefix(message, p) }) {
		if jpegEnds(photo) {
			return nil
		}
		message = "Premature end of JPEG file"
	}
	if strings.Contains(message, "Unsupported") || strings.Contains(message, "not supported") {
		return errs.Permanentf(Unsupported, "decode JPEG: %s", message)
	}
	return errs.Permanentf(Unreadable, "decode JPEG: %s", message)
}

// jpegEnds reports whether an end marker follows the pixels.
func jpegEnds(p []byte) bool {
	header := 0
	for s := range jpegSegments(p) {
		header = s.end
	}
	return bytes.Contains(p[header:], []byte{0xff, 0xd9})
}
