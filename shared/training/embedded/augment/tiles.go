package augment

import "math"

const (
	// smallSide of a photo's longest side is the longest that a small object may have.
	smallSide = 0.1
	// tileSide is a tile's, as a share of the same: a small object is shown three
	// times as large as in the whole photo.
	tileSide = 1.0 / 3
	// maxTiles of a photo are kept. At 416 pixels each takes 0.7 MB.
	maxTiles = 3
)

// CutTiles adds finer parts of the photo around its small objects, which a
// policy with tiles shows in its place: squares of a third of the photo's longest
// side, at no more than size pixels. pix, w, h and boxes are those that
// NewPhoto was given; nothing of pix is kept.
func (p *Photo) CutTiles(pix []byte, w, h int, boxes []Box, size int) {
	for _, a := range windows(w, h, boxes) {
		p.tiles = append(p.tiles, cut(pix, w, a, boxes, size))
	}
}

// windows are the parts of a photo of w x h pixels around small boxes, in the
// boxes' order; one that lies within a window gets none of its own.
func windows(w, h int, boxes []Box) []area {
	longest := float64(max(w, h))
	side := max(int(longest*tileSide), 1)
	width, height := min(side, w), min(side, h)
	var out []area
next:
	for _, b := range boxes {
		if max(b.X2-b.X1, b.Y2-b.Y1) >= smallSide*longest || len(out) == maxTiles {
			continue
		}
		for _, a := range out {
			if b.X1 >= float64(a.x0) && b.Y1 >= float64(a.y0) && b.X2 <= float64(a.x1) && b.Y2 <= float64(a.y1) {
				continue next
			}
		}
		x, y := begin((b.X1+b.X2)/2, width, w), begin((b.Y1+b.Y2)/2, height, h)
		out = append(out, area{x, y, x + width, y + height})
	}
	return out
}

// begin is where a window that is centred on a point begins, moved to lie within
// length pixels.
func begin(centre float64, window, length int) int {
	return int(min(max(math.Round(centre-float64(window)/2), 0), float64(length-window)))
}

// cut copies a window of a photo that is w pixels wide, with its boxes.
func cut(pix []byte, w int, a area, boxes []Box, size int) *Photo {
	width, height := a.x1-a.x0, a.y1-a.y0
	k := min(float64(size)/float64(max(width, height)), 1)
	from := &Photo{Pix: pix[3*(a.y0*w+a.x0):], W: w}
	t := shrink(from, width, height, max(int(math.Round(float64(width)*k)), 1), max(int(math.Round(float64(height)*k)), 1))
	t.Boxes = mapping{
		stepX: float64(width) / float64(t.W), stepY: float64(height) / float64(t.H),
		centreX: float64(a.x0), centreY: float64(a.y0),
	}.boxes(boxes, 1, area{0, 0, t.W, t.H})
	t.halve()
	return t
}
