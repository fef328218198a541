package imaging

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/jpeg"
	"image/png"

	"github.com/litterloop/litterloop/shared/errs"
	"golang.org/x/image/webp"
)

// Header reads format, displayed size and orientation without decoding pixels.
// Its errors are Decode's; a photo that Header accepts may still be damaged
// further on.
func Header(photo []byte) (Info, error) { return header(photo, Options{}) }

func header(photo []byte, o Options) (Info, error) {
	var (
		info   = Info{Orientation: 1}
		config image.Config
		err    error
	)
	switch kind := sniff(photo); kind {
	case "jpeg":
		config, err = jpegConfig(photo)
		info.Orientation = jpegOrientation(photo)
	case "png":
		config, err = png.DecodeConfig(bytes.NewReader(photo))
		info.Orientation = pngOrientation(photo)
	case "webp":
		config, err = webp.DecodeConfig(bytes.NewReader(photo))
		info.Orientation = webpOrientation(photo)
	case "":
		if len(photo) == 0 {
			return Info{}, errs.Permanentf(Unreadable, "photo is empty")
		}
		return Info{}, errs.Permanentf(Unreadable, "not a photo: the first bytes are of no known image format; send JPEG, PNG or WebP")
	default:
		return Info{}, errs.Permanentf(Unsupported, "%s photos are not supported; send JPEG, PNG or WebP", kind)
	}
	info.Format = sniff(photo)
	if err != nil {
		return Info{}, errs.Permanentf(Unreadable, "read %s header: %w", info.Format, err)
	}
	if config.Width <= 0 || config.Height <= 0 {
		return Info{}, errs.Permanentf(Unreadable, "%s photo of %dx%d pixels", info.Format, config.Width, config.Height)
	}
	limit := o.MaxPixels
	if limit == 0 {
		limit = DefaultMaxPixels
	}
	if config.Width > limit/config.Height {
		return Info{}, errs.Permanentf(TooLarge, "photo of %dx%d pixels is above the limit of %d megapixels", config.Width, config.Height, limit/1_000_000)
	}
	info.W, info.H = config.Width, config.Height
	if info.Orientation >= 5 {
		info.W, info.H = info.H, info.W
	}
	return info, nil
}

// sniff names the format by its magic numbers; "" when unknown.
func sniff(p []byte) string {
	at := func(offset int, magic string) bool {
		return len(p) >= offset+len(magic) && string(p[offset:offset+len(magic)]) == magic
	}
	switch {
	case at(0, "\xff\xd8\xff"):
		return "jpeg"
	case at(0, "\x89PNG\r\n\x1a\n"):
		return "png"
	case at(0, "RIFF") && at(8, "WEBP"):
		return "webp"
	case at(0, "GIF8"):
		return "GIF"
	case at(0, "BM"):
		return "BMP"
	case at(0, "II*\x00"), at(0, "MM\x00*"):
		return "TIFF"
	case at(4, "ftypavif"), at(4, "ftypavis"):
		return "AVIF"
	case at(4, "ftyp"):
		return "HEIC"
	}
	return ""
}

// jpegConfig reads the frame header (SOFn) alone. image/jpeg's DecodeConfig
// would do, but it refuses photos that libjpeg-turbo reads: arithmetic coding,
// junk between segments.
func jpegConfig(p []byte) (image.Config, error) {
	for s := range jpegSegments(p) {
		if s.marker >= 0xc0 && s.marker <= 0xcf && s.marker != 0xc4 && s.marker != 0xc8 && s.marker != 0xcc && len(s.body) >= 6 {
			h, w := binary.BigEndian.Uint16(s.body[1:]), binary.BigEndian.Uint16(s.body[3:])
			return image.Config{Width: int(w), Height: int(h)}, nil
		}
	}
	return jpeg.DecodeConfig(bytes.NewReader(p))
}
