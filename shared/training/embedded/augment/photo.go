// Package augment makes training inputs: photos scaled, shifted, flipped,
// turned, recoloured and pieced together, with their boxes.
package augment

import "math"

// Box is a labelled object in pixels.
type Box struct {
	Class          int
	X1, Y1, X2, Y2 float64
}

// Photo is a decoded photo, three bytes a pixel, with its boxes in its pixels.
type Photo struct {
	Pix   []byte
	W, H  int
	Boxes []Box
	half  *Photo   // the same at half the size, so that shrinking does not alias
	tiles []*Photo // finer parts of it, around small objects
}

// NewPhoto keeps a photo for training at no more than maxSide pixels a side: w
// x h pixels of three bytes, which are copied only where they must shrink, and
// boxes in them.
func NewPhoto(pix []byte, w, h int, boxes []Box, maxSide int) *Photo {
	p := &Photo{Pix: pix, W: w, H: h}
	if longest := max(w, h); longest > maxSide {
		k := float64(maxSide) / float64(longest)
		p = shrink(p, w, h, max(int(math.Round(float64(w)*k)), 1), max(int(math.Round(float64(h)*k)), 1))
	}
	kx, ky := float64(p.W)/float64(w), float64(p.H)/float64(h)
	for _, b := range boxes {
		p.Boxes = append(p.Boxes, Box{b.Class, b.X1 * kx, b.Y1 * ky, b.X2 * kx, b.Y2 * ky})
	}
	p.halve()
	return p
}

// halve makes the smaller sizes of a photo.
func (p *Photo) halve() {
	for q := p; max(q.W, q.H) >= 64 && min(q.W, q.H) >= 2; q = q.half {
		// An odd last row or column is left out, so that the scale is exactly a half.
		q.half = shrink(q, q.W/2*2, q.H/2*2, q.W/2, q.H/2)
	}
}

// Bytes is what the photo takes, all its sizes and tiles together.
func (p *Photo) Bytes() int {
	n := 0
	for q := p; q != nil; q = q.half {
		n += len(q.Pix)
	}
	for _, t := range p.tiles {
		n += t.Bytes()
	}
	return n
}

// shrink makes w x h pixels of the first fromW x fromH of a photo; each is the
// mean of those it covers.
func shrink(p *Photo, fromW, fromH, w, h int) *Photo {
	q := &Photo{Pix: make([]byte, 3*w*h), W: w, H: h}
	xs, ys := edges(fromW, w), edges(fromH, h)
	sums := make([]uint32, 3*w)
	for y := range h {
		clear(sums)
		for sy := ys[y]; sy < ys[y+1]; sy++ {
			row := p.Pix[3*sy*p.W:]
			for x := range w {
				s := sums[3*x : 3*x+3 : 3*x+3]
				for sx := xs[x]; sx < xs[x+1]; sx++ {
					s[0] += uint32(row[3*sx])
					s[1] += uint32(row[3*sx+1])
					s[2] += uint32(row[3*sx+2])
				}
			}
		}
		for x := range w {
			n := uint32((xs[x+1] - xs[x]) * (ys[y+1] - ys[y]))
			for c := range 3 {
				q.Pix[3*(y*w+x)+c] = byte((sums[3*x+c] + n/2) / n)
			}
		}
	}
	return q
}

// edges divides from pixels into to parts of almost equal size, none empty.
func edges(from, to int) []int {
	e := make([]int, to+1)
	for i := range e {
		e[i] = i * from / to
	}
	return e
}
