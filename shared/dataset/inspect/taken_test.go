package inspect

import (
	"encoding/binary"
	"os"
	"testing"
	"time"
)

// withEXIF is the beginning of a JPEG with a camera and a time.
func withEXIF(order binary.AppendByteOrder, model, when string) []byte {
	mark := "II"
	if order == binary.AppendByteOrder(binary.BigEndian) {
		mark = "MM"
	}
	t := order.AppendUint16([]byte(mark), 42)
	t = order.AppendUint32(t, 8)
	entry := func(tag, kind uint16, n, value uint32) {
		t = order.AppendUint16(t, tag)
		t = order.AppendUint16(t, kind)
		t = order.AppendUint32(t, n)
		t = order.AppendUint32(t, value)
	}
	const first, second = 8 + 2 + 2*12 + 4, 8 + 2 + 2*12 + 4 + 2 + 12 + 4
	t = order.AppendUint16(t, 2)
	entry(tagModel, 2, uint32(len(model)+1), second)
	entry(tagExif, 4, 1, first)
	t = order.AppendUint32(t, 0)
	t = order.AppendUint16(t, 1)
	entry(tagOriginal, 2, uint32(len(when)+1), second+uint32(len(model)+1))
	t = order.AppendUint32(t, 0)
	t = append(t, model+"\x00"+when+"\x00"...)
	return append([]byte("\xff\xd8\xff\xe1\x00\x00Exif\x00\x00"), t...)
}

func TestTaken(t *testing.T) {
	want := time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC).Unix()
	var camera uint32
	for _, order := range []binary.AppendByteOrder{binary.LittleEndian, binary.BigEndian} {
		got, c := taken(withEXIF(order, "Pixel 9", "2024:05:06 07:08:09"))
		if got != want || c == 0 || camera != 0 && c != camera {
			t.Errorf("%v: %d %x", order, got, c)
		}
		camera = c
	}
	if _, other := taken(withEXIF(binary.LittleEndian, "Pixel 10", "2024:05:06 07:08:09")); other == camera {
		t.Error("two cameras are one")
	}
	for _, when := range []string{"0000:00:00 00:00:00", "yesterday at noon   ", "2024-05-06 07:08:09"} {
		if got, _ := taken(withEXIF(binary.BigEndian, "x", when)); got != 0 {
			t.Errorf("%q is %d", when, got)
		}
	}
	if photo, err := os.ReadFile("../../../../shared/data/exif_orientation/Landscape_6.jpg"); err == nil {
		t.Log(taken(photo))
	}
}

func FuzzTaken(f *testing.F) {
	f.Add(withEXIF(binary.LittleEndian, "Pixel 9", "2024:05:06 07:08:09"))
	f.Add(withEXIF(binary.BigEndian, "", ""))
	f.Fuzz(func(t *testing.T, data []byte) {
		if got, camera := taken(data); got < 0 || got == 0 && camera != 0 {
			t.Fatal(got, camera)
		}
	})
}
