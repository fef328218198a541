package imaging

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"slices"

	"github.com/litterloop/litterloop/shared/errs"
)

// Strip returns photo without what tells about its maker: EXIF with its GPS
// position, XMP, comments, thumbnails and further images in the file. Pixels,
// colour profile and orientation stay. A damaged photo may be refused although
// it decodes; then it is better not kept.
func Strip(photo []byte) ([]byte, error) {
	info, err := Header(photo)
	if err != nil {
		return nil, err
	}
	switch info.Format {
	case "jpeg":
		return stripJPEG(photo, info.Orientation)
	case "png":
		return stripPNG(photo, info.Orientation)
	default:
		return stripWebP(photo, info.Orientation)
	}
}

// orientationEXIF is the smallest EXIF block: one directory of one entry.
func orientationEXIF(orientation int) []byte {
	return []byte{'I', 'I', 42, 0, 8, 0, 0, 0, 1, 0, 0x12, 0x01, 3, 0, 1, 0, 0, 0, byte(orientation), 0, 0, 0, 0, 0, 0, 0}
}

// stripJPEG copies segments up to the end of the first image. Of the
// application segments it keeps JFIF (APP0), colour profiles (APP2) and Adobe's
// colour transform (APP14), which change how pixels are read.
func stripJPEG(p []byte, orientation int) ([]byte, error) {
	out := append(make([]byte, 0, len(p)), 0xff, 0xd8)
	if orientation > 1 {
		body := append([]byte("Exif\x00\x00"), orientationEXIF(orientation)...)
		out = append(out, 0xff, 0xe1, 0, byte(len(body)+2))
		out = append(out, body...)
	}
	for i := 2; i+4 <= len(p); {
		if p[i] != 0xff || p[i+1] == 0 || p[i+1] == 0xff { // junk between segments
			i++
			continue
		}
		marker := p[i+1]
		if marker == 0xd9 {
			return append(out, 0xff, 0xd9), nil
		}
		if marker == 0x01 || marker >= 0xd0 && marker <= 0xd8 {
			i += 2
			continue
		}
		length := int(binary.BigEndian.Uint16(p[i+2:]))
		end := i + 2 + length
		if length < 2 || end > len(p) {
			break
		}
		if marker == 0xda {
			end = scanEnd(p, end)
		}
		segment := p[i:end]
		private := marker == 0xfe || marker >= 0xe1 && marker <= 0xef && marker != 0xee &&
			!(marker == 0xe2 && bytes.HasPrefix(segment[4:], []byte("ICC_PROFILE\x00")))
		if !private {
			out = append(out, segment...)
		}
		i = end
	}
	if bytes.HasSuffix(p, []byte{0xff, 0xd9}) {
		return append(out, 0xff, 0xd9), nil
	}
	return nil, errs.Permanentf(Unreadable, "JPEG is cut short")
}

// scanEnd returns where the compressed pixels that begin at i end: at the next
// marker that is neither a stuffed zero nor a restart.
func scanEnd(p []byte, i int) int {
	for ; i+1 < len(p); i++ {
		if p[i] == 0xff && p[i+1] != 0 && p[i+1] != 0xff && (p[i+1] < 0xd0 || p[i+1] > 0xd7) {
			return i
		}
	}
	return len(p)
}

// stripPNG keeps the critical chunks and those that change how pixels are read.
func stripPNG(p []byte, orientation int) ([]byte, error) {
	keep := []string{"IHDR", "PLTE", "IDAT", "IEND", "tRNS", "gAMA", "cHRM", "sRGB", "iCCP", "sBIT", "bKGD", "pHYs", "cICP"}
	out := append(make([]byte, 0, len(p)), p[:8]...)
	for i := 8; i+12 <= len(p); {
		n := int(binary.BigEndian.Uint32(p[i:]))
		if n > len(p)-i-12 {
			break
		}
		name := string(p[i+4 : i+8])
		if slices.Contains(keep, name) {
			out = append(out, p[i:i+12+n]...)
		}
		switch {
		case name == "IHDR" && orientation > 1:
			out = append(out, pngChunk("eXIf", orientationEXIF(orientation))...)
		case name == "IEND":
			return out, nil
		}
		i += 12 + n
	}
	return nil, errs.Permanentf(Unreadable, "PNG is cut short")
}

func pngChunk(name string, body []byte) []byte {
	c := binary.BigEndian.AppendUint32(nil, uint32(len(body)))
	c = append(append(c, name...), body...)
	return binary.BigEndian.AppendUint32(c, crc32.ChecksumIEEE(c[4:]))
}

// stripWebP drops the EXIF and XMP chunks and their flags in VP8X.
func stripWebP(p []byte, orientation int) ([]byte, error) {
	const flagEXIF, flagXMP = 0x08, 0x04
	out := append(make([]byte, 0, len(p)), p[:12]...)
	extended := -1 // where VP8X's flags are in out
	for i := 12; i+8 <= len(p); {
		n := int(binary.LittleEndian.Uint32(p[i+4:]))
		end := i + 8 + n + n&1
		if n > len(p)-i-8 {
			break // junk after the last chunk
		}
		switch name := string(p[i : i+4]); name {
		case "EXIF", "XMP ":
		case "VP8X", "VP8 ", "VP8L", "ALPH", "ICCP":
			if name == "VP8X" {
				extended = len(out) + 8
			}
			out = append(out, p[i:min(end, len(p))]...)
		}
		i = end
	}
	if extended >= 0 && extended < len(out) {
		out[extended] &^= flagEXIF | flagXMP
		if orientation > 1 {
			out[extended] |= flagEXIF
			exif := orientationEXIF(orientation)
			out = append(binary.LittleEndian.AppendUint32(append(out, "EXIF"...), uint32(len(exif))), exif...)
		}
	}
	binary.LittleEndian.PutUint32(out[4:], uint32(len(out)-8))
	return out, nil
}
