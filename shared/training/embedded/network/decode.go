package network

import (
	"math"
	"slices"
)

// Grid is the anchor points of an input size, in the order of the raw output:
// stride by stride, row by row.
type Grid struct {
	X, Y, Stride []float64
	Levels       [len(Strides)]Level
}

// Level is one stride's part of a Grid.
type Level struct{ First, Width, Height, Stride int }

// NewGrid lays the anchors of an input of height x width pixels, multiples of
// MaxStride.
func NewGrid(height, width int) *Grid {
	g := &Grid{}
	for i, s := range Strides {
		l := Level{First: len(g.X), Width: width / s, Height: height / s, Stride: s}
		g.Levels[i] = l
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
	n := len(g.X)
	var d [4]float64
	for k := range d {
		t := min(max(float64(raw[k*n+anchor]), MinLog), MaxLog)
		d[k] = math.Exp(t) * g.Stride[anchor]
	}
	x, y := g.X[anchor], g.Y[anchor]
	return [4]float64{x - d[0], y - d[1], x + d[2], y + d[3]}
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
