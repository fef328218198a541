// Package imaging turns the bytes of a photo into what a detector sees, pixel
// for pixel as OpenCV's imdecode followed by Ultralytics' letterbox, and
// measures what drift watches. It reads JPEG (with libjpeg-turbo when the
// system has it), PNG and WebP.
package imaging

import (
	"github.com/litterloop/litterloop/shared/errs"
)

// Reasons why a photo is refused. All are permanent: the same bytes are refused
// again.
const (
	// Unreadable: not an image, damaged, or cut short.
	Unreadable errs.Code = "photo-unreadable"
	// TooLarge: more pixels than the limit.
	TooLarge errs.Code = "photo-too-large"
	// Unsupported: an image, but of a kind that is not decoded.
	Unsupported errs.Code = "photo-unsupported"
)

// DefaultMaxPixels bounds what Decode allocates: 100 megapixels are 300 MB of
// RGB, above what any phone takes and below what a decompression bomb asks for.
const DefaultMaxPixels = 100_000_000

// Image is a displayed photo: three bytes (R, G, B) a pixel, rows from the top
// without gaps, EXIF orientation applied.
type Image struct {
	Pix  []byte
	W, H int
}

// Info is what a photo's header says.
type Info struct {
	Format      string // "jpeg", "png" or "webp"
	W, H        int    // as displayed, after Orientation
	Orientation int    // EXIF orientation, 1 to 8; 1 when absent or invalid
}

// Options of DecodeInto. The zero value holds the defaults.
type Options struct {
	MaxPixels int // refuse photos above it; 0 is DefaultMaxPixels
}

// Decode reads a photo of at most DefaultMaxPixels. Every error is permanent
// and carries Unreadable, TooLarge or Unsupported.
func Decode(photo []byte) (*Image, error) {
	im := new(Image)
	if err := DecodeInto(im, photo, Options{}); err != nil {
		return nil, err
	}
	return im, nil
}

// DecodeInto is Decode into an image whose Pix is used again when it is large
// enough. After an error the content of im is undefined.
func DecodeInto(im *Image, photo []byte, o Options) error {
	info, err := header(photo, o)
	if err != nil {
		return err
	}
	if err := decode(im, photo, info); err != nil {
		return err
	}
	orient(im, info.Orientation)
	if im.W != info.W || im.H != info.H {
		return errs.Permanentf(Unreadable, "photo decodes to %dx%d pixels where its header says %dx%d", im.W, im.H, info.W, info.H)
	}
	return nil
}

// decode fills im in stored orientation.
func decode(im *Image, photo []byte, info Info) error {
	switch info.Format {
	case "jpeg":
		return decodeJPEG(im, photo)
	case "png":
		return decodePNG(im, photo)
	}
	return decodeWebP(im, photo)
}

// size gives im room for w x h pixels, keeping its memory where possible.
func (im *Image) size(w, h int) {
	n := 3 * w * h
	if cap(im.Pix) < n {
		im.Pix = make([]byte, n)
	}
	im.Pix, im.W, im.H = im.Pix[:n], w, h
}
