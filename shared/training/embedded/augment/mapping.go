package augment

import "math"

// mapping takes input pixels to photo pixels. It only scales, flips, turns by
// quarters and shifts, so a photo coordinate depends on one input coordinate.
type mapping struct {
	turn             bool
	stepX, stepY     float64 // photo pixels an input pixel; negative when flipped
	centreX, centreY float64 // the photo's point ...
	midX, midY       float64 // ... that falls on this point of the input
}

// A box is dropped when less than minVisible of it or a side under minSide
// pixels is left inside the input: nobody could learn it.
const (
	minVisible = 0.25
	minSide    = 1.5
)

// tap is where an input row or column reads along its photo axis.
type tap struct {
	near, far int   // byte offsets of the two neighbours
	weight    int32 // of far, in 1/256
	outside   bool
}

// taps are those of n input pixels from first on; the photo axis has length
// pixels, pitch bytes apart.
func taps(first, n int, mid, centre, step float64, length, pitch int) []tap {
	ts := make([]tap, n)
	for i := range ts {
		at := centre + step*(float64(first+i)+0.5-mid) - 0.5
		if at < -0.5 || at > float64(length)-0.5 {
			ts[i].outside = true
			continue
		}
		at = min(max(at, 0), float64(length-1))
		near := int(at)
		far := min(near+1, length-1)
		ts[i] = tap{near: near * pitch, far: far * pitch, weight: int32(math.Round((at - float64(near)) * 256))}
	}
	return ts
}

// draw samples the photo bilinearly into a part of the input.
func (m mapping) draw(p *Photo, size int, dst []float32, a area, c *colours) {
	lengthX, pitchX, lengthY, pitchY := p.W, 3, p.H, 3*p.W
	centreX, centreY := m.centreX, m.centreY
	if m.turn {
		lengthX, lengthY, pitchX, pitchY, centreX, centreY = lengthY, lengthX, pitchY, pitchX, centreY, centreX
	}
	columns := taps(a.x0, a.x1-a.x0, m.midX, centreX, m.stepX, lengthX, pitchX)
	rows := taps(a.y0, a.y1-a.y0, m.midY, centreY, m.stepY, lengthY, pitchY)
	plane := size * size
	for i, row := range rows {
		at := (a.y0+i)*size + a.x0
		n := len(columns)
		red, green, blue := dst[at:at+n], dst[plane+at:plane+at+n], dst[2*plane+at:2*plane+at+n]
		near, far := p.Pix[row.near:], p.Pix[row.far:]
		for x := range columns {
			t := &columns[x]
			if row.outside || t.outside {
				red[x], green[x], blue[x] = grey, grey, grey
				continue
			}
			p00, p01 := near[t.near:t.near+3:t.near+3], near[t.far:t.far+3:t.far+3]
			p10, p11 := far[t.near:t.near+3:t.near+3], far[t.far:t.far+3:t.far+3]
			red[x] = c[0][blend(p00[0], p01[0], p10[0], p11[0], t.weight, row.weight)]
			green[x] = c[1][blend(p00[1], p01[1], p10[1], p11[1], t.weight, row.weight)]
			blue[x] = c[2][blend(p00[2], p01[2], p10[2], p11[2], t.weight, row.weight)]
		}
	}
}

// blend is the bilinear mean of four bytes; wx and wy are in 1/256.
func blend(a, b, c, d byte, wx, wy int32) byte {
	top := int32(a)<<8 + (int32(b)-int32(a))*wx
	bottom := int32(c)<<8 + (int32(d)-int32(c))*wx
	return byte((top<<8 + (bottom-top)*wy + 1<<15) >> 16)
}

// boxes are the photo's boxes, in pixels of a copy scale times as large, as they
// fall into a part of the input.
func (m mapping) boxes(boxes []Box, scale float64, a area) []Box {
	var out []Box
	for _, b := range boxes {
		x1, x2 := b.X1*scale-m.centreX, b.X2*scale-m.centreX
		y1, y2 := b.Y1*scale-m.centreY, b.Y2*scale-m.centreY
		if m.turn {
			x1, x2, y1, y2 = y1, y2, x1, x2
		}
		x1, x2 = order(x1/m.stepX+m.midX, x2/m.stepX+m.midX)
		y1, y2 = order(y1/m.stepY+m.midY, y2/m.stepY+m.midY)
		whole := (x2 - x1) * (y2 - y1)
		c := Box{b.Class, max(x1, float64(a.x0)), max(y1, float64(a.y0)), min(x2, float64(a.x1)), min(y2, float64(a.y1))}
		w, h := c.X2-c.X1, c.Y2-c.Y1
		if w < minSide || h < minSide || w*h < minVisible*whole {
			continue
		}
		out = append(out, c)
	}
	return out
}

func order(a, b float64) (float64, float64) { return min(a, b), max(a, b) }
