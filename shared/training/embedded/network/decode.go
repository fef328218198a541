package network

import (
	"math"
	"slices"
)

// Grid is the anchor points of an input size, in the order of the raw output:
// stride by stride, row by row.
type Grid struct {
	X, Y, Stride []float64
	Levels       []Level
	Code         Code // how boxes are written; the zero value is this package's own network's
}

// Code is what the four raw box outputs of an anchor say, in units of its stride.
type Code int

// The codes of this package's own network and of the detectors in common use.
const (
	LogDistances Code = iota // logarithms of the distances to the left, top, right and bottom edge
	Distances                // the distances: YOLOv8 and its successors
	CentreSize               // the centre's offset from the anchor's cell, and logarithms of width and height: YOLOX
)

// Bounds of CentreSize's logarithms: from a twentieth of a stride to 400.
const (
	MinLogSize = -3.0
	MaxLogSize = 6.0
)

// Level is one stride's part of a Grid.
type Level struct{ First, Width, Height, Stride int }

// NewGrid lays the anchors of an input of height x width pixels, multiples of
// MaxStride.
func NewGrid(height, width int) *Grid {
	return NewGridOf(LogDistances, Strides[:], height, width)
}

// NewGridOf is NewGrid for a network of other strides, the finest first, and
// another code. Height and width are multiples of every stride.
func NewGridOf(code Code, strides []int, height, width int) *Grid {
	g := &Grid{Code: code}
	for _, s := range strides {
		l := Level{First: len(g.X), Width: width / s, Height: height / s, Stride: s}
		g.Levels = append(g.Levels, l)
		for y := range l.Height {
			for x := range l.Width {
				g.X = append(g.X, (float64(x)+0.5)*float64(s))
				g.Y = append(g.Y, (float64(y)+0.5)*float64(s))
				g.Stride = append(g.Stride, float64(s))
			}
		}
	}
	return g
}

// Len is the number of anchors.
func (g *Grid) Len() int { return len(g.X) }

// Box decodes the box of an anchor: x1, y1, x2, y2 in input pixels. raw is one
// image's part of the raw output.
func (g *Grid) Box(raw []float32, anchor int) [4]float64 {
	b, _ := g.BoxSlopes(raw, anchor)
	return b
}

// BoxSlopes is Box and the derivative of each side by each raw output of the
// anchor: slopes[i][k] is that of side i by output k.
func (g *Grid) BoxSlopes(raw []float32, anchor int) (box [4]float64, slopes [4][4]float64) {
	n, stride := len(g.X), g.Stride[anchor]
	at := [2]float64{g.X[anchor], g.Y[anchor]}
	var t [4]float64
	for k := range t {
		t[k] = float64(raw[k*n+anchor])
	}
	if g.Code == CentreSize {
		for axis := range 2 {
			centre := at[axis] + (t[axis]-0.5)*stride
			half, slope := expWithin(t[2+axis], MinLogSize, MaxLogSize, stride/2)
			box[axis], box[2+axis] = centre-half, centre+half
			slopes[axis][axis], slopes[2+axis][axis] = stride, stride
			slopes[axis][2+axis], slopes[2+axis][2+axis] = -slope, slope
		}
		return box, slopes
	}
	for side := range 4 {
		distance, slope := t[side]*stride, stride
		if g.Code == LogDistances {
			distance, slope = expWithin(t[side], MinLog, MaxLog, stride)
		}
		sign := 1.0
		if side < 2 {
			sign = -1
		}
		box[side] = at[side&1] + sign*distance
		slopes[side][side] = sign * slope
	}
	return box, slopes
}

// expWithin is unit*exp(t) with t kept within bounds, beyond which it is flat.
func expWithin(t, low, high, unit float64) (value, slope float64) {
	value = math.Exp(min(max(t, low), high)) * unit
	if t > low && t < high {
		slope = value
	}
	return value, slope
}

// Detection is a box in input pixels.
type Detection struct {
	Class          int
	Score          float32
	X1, Y1, X2, Y2 float32
}

// maxCandidates bounds what suppression looks at, as Ultralytics does.
const maxCandidates = 30000

// Decode reads one image's raw output: of every anchor the best class, where
// its score is above conf; best first, suppressed class by class, at most
// maxDet.
func (g *Grid) Decode(raw []float32, classes int, conf, iou float64, maxDet int) []Detection {
	n := g.Len()
	var found []Detection
	for a := range n {
		class, best := 0, float32(math.Inf(-1))
		for c := range classes {
			if v := raw[(4+c)*n+a]; v > best {
				class, best = c, v
			}
		}
		score := float32(1 / (1 + math.Exp(-float64(best))))
		if score <= float32(conf) {
			continue
		}
		b := g.Box(raw, a)
		found = append(found, Detection{class, score, float32(b[0]), float32(b[1]), float32(b[2]), float32(b[3])})
	}
	// Stable: of equal scores the earlier anchor comes first.
	slices.SortStableFunc(found, func(a, b Detection) int {
		switch {
		case a.Score > b.Score:
			return -1
		case a.Score < b.Score:
			return 1
		}
		return 0
	})
	return Suppress(found[:min(len(found), maxCandidates)], float32(iou), maxDet)
}

// classOffset moves the boxes of each class out of the others' reach, so that
// one suppression serves all: what Ultralytics does, in float32 as there, so
// that overlaps near the threshold fall the same way.
const classOffset = 7680

// Suppress drops every detection that overlaps a better one of its class by
// more than iou. found is in order of score.
func Suppress(found []Detection, iou float32, maxDet int) []Detection {
	var kept []Detection
	type moved struct{ x1, y1, x2, y2, area float32 }
	var seen []moved
next:
	for _, d := range found {
		if len(kept) == maxDet {
			break
		}
		o := float32(d.Class) * classOffset
		m := moved{x1: d.X1 + o, y1: d.Y1 + o, x2: d.X2 + o, y2: d.Y2 + o}
		m.area = (m.x2 - m.x1) * (m.y2 - m.y1)
		for _, s := range seen {
			w, h := min(m.x2, s.x2)-max(m.x1, s.x1), min(m.y2, s.y2)-max(m.y1, s.y1)
			if w <= 0 || h <= 0 {
				continue
			}
			if common := w * h; common/(s.area+m.area-common) > iou {
				continue next
			}
		}
		kept, seen = append(kept, d), append(seen, m)
	}
	return kept
}
