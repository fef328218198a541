package inspect

import (
	"bytes"
	"encoding/binary"
	"hash/fnv"
	"strings"
	"time"
)

// EXIF's tags that are read.
const (
	tagMake     = 0x010f
	tagModel    = 0x0110
	tagExif     = 0x8769 // where the directory with the next one is
	tagOriginal = 0x9003 // DateTimeOriginal, by the camera's clock
)

// maxHead bytes of a photo are searched for EXIF, which comes first in a JPEG
// and may follow a preview.
const maxHead = 256 << 10

// taken tells when a JPEG was taken, in seconds by the camera's own clock, and
// names the kind of camera; zeros where its EXIF does not say or is damaged.
func taken(data []byte) (seconds int64, camera uint32) {
	head := data[:min(len(data), maxHead)]
	at := bytes.Index(head, []byte("Exif\x00\x00"))
	if at < 0 {
		return 0, 0
	}
	t, ok := newTIFF(head[at+6:])
	if !ok {
		return 0, 0
	}
	first := t.directory(t.order.Uint32(t.data[4:]))
	exif := t.directory(first.offset(tagExif))
	when, err := time.Parse("2006:01:02 15:04:05", exif.text(tagOriginal))
	if err != nil || when.Unix() <= 0 {
		return 0, 0
	}
	h := fnv.New32a()
	h.Write([]byte(first.text(tagMake) + "\x00" + first.text(tagModel)))
	return when.Unix(), h.Sum32()
}

// tiff is the block that EXIF is written in.
type tiff struct {
	data  []byte
	order binary.ByteOrder
}

func newTIFF(data []byte) (t tiff, ok bool) {
	if len(data) < 8 {
		return t, false
	}
	switch string(data[:2]) {
	case "II":
		return tiff{data, binary.LittleEndian}, true
	case "MM":
		return tiff{data, binary.BigEndian}, true
	}
	return t, false
}

// entries are those of a directory, by tag, each twelve bytes.
type entries struct {
	tiff
	of map[uint16][]byte
}

func (t tiff) directory(at uint32) entries {
	e := entries{t, map[uint16][]byte{}}
	if at == 0 || int64(at)+2 > int64(len(t.data)) {
		return e
	}
	n := int64(t.order.Uint16(t.data[at:]))
	for i := int64(at) + 2; n > 0 && i+12 <= int64(len(t.data)); n, i = n-1, i+12 {
		e.of[t.order.Uint16(t.data[i:])] = t.data[i : i+12]
	}
	return e
}

func (e entries) offset(tag uint16) uint32 {
	entry, ok := e.of[tag]
	if !ok {
		return 0
	}
	return e.order.Uint32(entry[8:])
}

// text is an ASCII value.
func (e entries) text(tag uint16) string {
	const ascii, inline = 2, 4
	entry, ok := e.of[tag]
	if !ok || e.order.Uint16(entry[2:]) != ascii {
		return ""
	}
	n, at := int64(e.order.Uint32(entry[4:])), int64(e.order.Uint32(entry[8:]))
	value := entry[8:12]
	if n > inline {
		if at+n > int64(len(e.data)) {
			return ""
		}
		value = e.data[at : at+n]
	}
	return strings.TrimRight(string(value[:min(n, int64(len(value)))]), "\x00 ")
}
