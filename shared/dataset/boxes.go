package dataset

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Clip cuts boxes at the edges of a displayed photo of w x h pixels and leaves
// out those wholly outside it. name is how findings call the photo.
func Clip(boxes []Box, w, h int, name string, r *Report) []Box {
	kept := make([]Box, 0, len(boxes))
	for _, b := range boxes {
		right, bottom := b.X+b.W, b.Y+b.H
		width, height := float64(w), float64(h)
		switch {
		case right <= 0 || bottom <= 0 || b.X >= width || b.Y >= height:
			r.Add(BoxOutside, describeBox(name, b))
			continue
		case b.X < 0 || b.Y < 0:
			r.Add(BoxNegativeOrigin, describeBox(name, b)+describeCut(max(-b.X, -b.Y, right-width, bottom-height)))
		case right > width+edge || bottom > height+edge:
			r.Add(BoxBeyondEdge, describeBox(name, b)+describeCut(max(right-width, bottom-height)))
		}
		b.X, b.Y = max(b.X, 0), max(b.Y, 0)
		if right > width {
			right = width
		}
		if bottom > height {
			bottom = height
		}
		// Where nothing was cut the width stays as drawn: right-X may differ
		// from it in the last digit, and a version must not depend on that.
		if r := right - b.X; r < b.W {
			b.W = r
		}
		if r := bottom - b.Y; r < b.H {
			b.H = r
		}
		if b.W <= 0 || b.H <= 0 {
			continue
		}
		kept = append(kept, b)
	}
	return kept
}

// edge is how far in pixels a box may pass its photo's edge unreported:
// rounding, no more.
const edge = 1e-3

func describeCut(pixels float64) string { return fmt.Sprintf(" cut by %.3g px", pixels) }

func describeBox(name string, b Box) string {
	return fmt.Sprintf("%s: [%.6g %.6g %.6g %.6g]", name, b.X, b.Y, b.W, b.H)
}

// YOLO is a photo's labels as trainers read them: a line a box of class,
// centre, width and height, as shares of the photo's size. Eight digits keep
// boxes within 0.001 px on photos of up to 60,000 px.
func YOLO(p Photo) []byte {
	out := make([]byte, 0, len(p.Boxes)*48)
	w, h := float64(p.Width), float64(p.Height)
	for _, b := range p.Boxes {
		out = strconv.AppendInt(out, int64(b.Class), 10)
		for _, v := range [4]float64{(b.X + b.W/2) / w, (b.Y + b.H/2) / h, b.W / w, b.H / h} {
			out = append(out, ' ')
			out = appendShare(out, v)
		}
		out = append(out, '\n')
	}
	return out
}

// appendShare writes v in [0, 1] with up to eight digits.
func appendShare(out []byte, v float64) []byte {
	const digits = 8
	n := uint64(math.Round(min(max(v, 0), 1) * 1e8))
	if n >= 1e8 {
		return append(out, '1')
	}
	out = append(out, '0', '.')
	at := len(out)
	out = append(out, "00000000"...)
	for i := digits - 1; i >= 0; i-- {
		out[at+i] = byte('0' + n%10)
		n /= 10
	}
	for len(out) > at+1 && out[len(out)-1] == '0' {
		out = out[:len(out)-1]
	}
	return out
}

// FromYOLO reads what YOLO wrote for a photo of w x h pixels.
func FromYOLO(text []byte, w, h int) ([]Box, error) {
	var boxes []Box
	line := 0
	for s := range strings.Lines(string(text)) {
		line++
		fields := strings.Fields(s)
		if len(fields) != 5 {
			return nil, fmt.Errorf("line %d: %q has not the five numbers class, centre x and y, width, height", line, s)
		}
		class, err := strconv.Atoi(fields[0])
		if err != nil {
			return nil, fmt.Errorf("line %d: class %q is no number", line, fields[0])
		}
		var v [4]float64
		for i, f := range fields[1:] {
			if v[i], err = strconv.ParseFloat(f, 64); err != nil {
				return nil, fmt.Errorf("line %d: %q is no number", line, f)
			}
		}
		width, height := v[2]*float64(w), v[3]*float64(h)
		boxes = append(boxes, Box{Class: class, X: v[0]*float64(w) - width/2, Y: v[1]*float64(h) - height/2, W: width, H: height})
	}
	return boxes, nil
}
