package imaging

import (
	"encoding/binary"
	"iter"
)

// segment of a JPEG: its marker, its body, and where it ends in the file.
type segment struct {
	marker byte
	body   []byte
	end    int
}

// jpegSegments yields every segment before the pixels, skipping junk between
// segments as decoders do.
func jpegSegments(p []byte) iter.Seq[segment] {
	return func(yield func(segment) bool) {
		i := 2
		for i+4 <= len(p) {
			if p[i] != 0xff || p[i+1] == 0 || p[i+1] == 0xff {
				i++
				continue
			}
			marker := p[i+1]
			if marker == 0x01 || marker >= 0xd0 && marker <= 0xd8 { // no length follows
				i += 2
				continue
			}
			if marker == 0xda || marker == 0xd9 { // pixels, or the end
				return
			}
			length := int(binary.BigEndian.Uint16(p[i+2:]))
			if length < 2 {
				i += 2
				continue
			}
			end := min(i+2+length, len(p))
			if !yield(segment{marker, p[min(i+4, end):end], end}) {
				return
			}
			i = end
		}
	}
}

func jpegOrientation(p []byte) int {
	for s := range jpegSegments(p) {
		if s.marker == 0xe1 && len(s.body) > 6 && string(s.body[:6]) == "Exif\x00\x00" {
			return tiffOrientation(s.body[6:])
		}
	}
	return 1
}

func pngOrientation(p []byte) int {
	for i := 8; i+12 <= len(p); {
		n := int(binary.BigEndian.Uint32(p[i:]))
		if n > len(p)-i-12 {
			break
		}
		switch string(p[i+4 : i+8]) {
		case "eXIf":
			return tiffOrientation(p[i+8 : i+8+n])
		case "IEND":
			return 1
		}
		i += 12 + n
	}
	return 1
}

func webpOrientation(p []byte) int {
	for i := 12; i+8 <= len(p); {
		n := int(binary.LittleEndian.Uint32(p[i+4:]))
		if n > len(p)-i-8 {
			break
		}
		if body := p[i+8 : i+8+n]; string(p[i:i+4]) == "EXIF" {
			return tiffOrientation(body) // a block with JPEG's "Exif" prefix is invalid here, and 1 as in OpenCV
		}
		i += 8 + n + n&1
	}
	return 1
}

// tiffOrientation finds tag 0x0112 in the first directory of an EXIF block; 1
// when it is absent, not 1 to 8, or the block is damaged.
func tiffOrientation(t []byte) int {
	if len(t) < 8 {
		return 1
	}
	var order binary.ByteOrder = binary.BigEndian
	switch string(t[:2]) {
	case "II":
		order = binary.LittleEndian
	case "MM":
	default:
		return 1
	}
	at := int64(order.Uint32(t[4:]))
	if at+2 > int64(len(t)) {
		return 1
	}
	entries := int64(order.Uint16(t[at:]))
	for e := at + 2; entries > 0 && e+12 <= int64(len(t)); entries, e = entries-1, e+12 {
		if order.Uint16(t[e:]) == 0x0112 {
			if v := int(order.Uint16(t[e+8:])); v >= 1 && v <= 8 {
				return v
			}
			return 1
		}
	}
	return 1
}

// orient turns im, as stored, into what is displayed.
func orient(im *Image, orientation int) {
	if orientation <= 1 {
		return
	}
	w, h := im.W, im.H
	out := make([]byte, len(im.Pix))
	ow, oh := w, h
	if orientation >= 5 {
		ow, oh = h, w
	}
	base, dx, dy := steps(orientation, w, h)
	for y, k := 0, 0; y < oh; y++ {
		for x, q := 0, base+y*dy; x < ow; x, q, k = x+1, q+dx, k+3 {
			copy(out[k:k+3], im.Pix[q:q+3])
		}
	}
	im.Pix, im.W, im.H = out, ow, oh
}

// steps walks a stored w x h image in displayed order: the offset of the
// displayed top left pixel, and what a step right and a step down add.
func steps(orientation, w, h int) (base, dx, dy int) {
	last := 3 * (w*h - 1)
	switch orientation {
	case 2: // mirrored
		return 3 * (w - 1), -3, 3 * w
	case 3: // upside down
		return last, -3, -3 * w
	case 4: // upside down and mirrored
		return 3 * w * (h - 1), 3, -3 * w
	case 5: // transposed
		return 0, 3 * w, 3
	case 6: // needs a quarter turn clockwise
		return 3 * w * (h - 1), -3 * w, 3
	case 7: // transverse
		return last, -3 * w, -3
	case 8: // needs a quarter turn counter-clockwise
		return 3 * (w - 1), 3 * w, -3
	}
	return 0, 3, 3 * w
}
