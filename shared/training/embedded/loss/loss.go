// Package loss compares a detector's raw output with the labelled boxes and
// gives the gradient by that output: complete IoU for boxes, binary
// cross-entropy for classes, over the anchors that a task-aligned assignment
// (Feng et al. 2021, "TOOD") holds responsible for each label.
package loss

import (
	"math"

	"github.com/litterloop/litterloop/shared/training/embedded/network"
)

// Target is a labelled box in input pixels.
type Target struct {
	Class int
	Box   [4]float64 // x1, y1, x2, y2
}

// Weights of the two parts.
type Weights struct{ Box, Class float64 }

// Value is a batch's loss, each part as it stands before its weight.
type Value struct {
	Box, Class float64
	Positives  int // anchors that some label was assigned to
}

// Loss is for one input size and one number of classes. It may be used by
// several goroutines at once.
type Loss struct {
	grid    *network.Grid
	classes int
	weights Weights
}

// New makes a loss over the anchors of grid.
func New(grid *network.Grid, classes int, w Weights) *Loss {
	return &Loss{grid: grid, classes: classes, weights: w}
}

// Assigned says which anchors answer for which label, for each image.
type Assigned struct {
	images [][]assignment
	// Score is the sum of the class scores to learn; losses are divided by it.
	Score float64
}

// Assign chooses the anchors that answer for the labels. raw is the raw output
// of some images [N, 4+classes, anchors], targets each image's labels. floor, in
// 0..1, is the least score that a label's best anchor is taught, however poor
// its box: without it a network that overlaps nothing yet is taught that there
// is nothing.
func (l *Loss) Assign(raw []float32, targets [][]Target, floor float64) Assigned {
	a := Assigned{images: make([][]assignment, len(targets))}
	size := l.imageSize()
	for n, t := range targets {
		a.images[n] = l.assign(raw[n*size:(n+1)*size], t, floor)
		for _, x := range a.images[n] {
			a.Score += x.score
		}
	}
	return a
}

// Gradient writes into gradient the derivative by raw of the weighted loss
// divided by score, that of the whole batch of which raw may be a part. The
// assignment counts as a constant.
func (l *Loss) Gradient(raw []float32, targets [][]Target, assigned Assigned, score float64, gradient []float32) Value {
	var v Value
	score = math.Max(score, 1)
	size, anchors := l.imageSize(), l.grid.Len()
	for n := range targets {
		out, d := raw[n*size:(n+1)*size], gradient[n*size:(n+1)*size]
		clear(d[:4*anchors])
		v.Class += l.background(out[4*anchors:], d[4*anchors:], score)
		for _, a := range assigned.images[n] {
			v.Positives++
			target := targets[n][a.target]
			// Cross-entropy against a soft score t is softplus(x) - t*x; background has added the first.
			k := (4+target.Class)*anchors + a.anchor
			v.Class -= a.score * float64(out[k])
			d[k] -= float32(l.weights.Class * a.score / score)

			overlap := ciou(l.box(out, a.anchor), target.Box)
			v.Box += (1 - overlap.v) * a.score
			for j, g := range overlap.d {
				d[j*anchors+a.anchor] -= float32(l.weights.Box * g * a.score / score)
			}
		}
	}
	v.Box /= score
	v.Class /= score
	return v
}

func (l *Loss) imageSize() int { return (4 + l.classes) * l.grid.Len() }

// background is the cross-entropy of every class logit against 0, softplus(x),
// and its gradient.
func (l *Loss) background(logits, gradient []float32, total float64) float64 {
	sum, k := 0.0, l.weights.Class/total
	for i, x := range logits {
		// softplus(x) = max(x,0) + log1p(exp(-|x|)) overflows nowhere.
		e := math.Exp(-math.Abs(float64(x)))
		sum += math.Max(float64(x), 0) + math.Log1p(e)
		p := 1 / (1 + e)
		if x < 0 {
			p = e * p
		}
		gradient[i] = float32(k * p)
	}
	return sum
}

// box is network.Grid.Box with derivatives by the raw box outputs.
func (l *Loss) box(out []float32, anchor int) [4]dual {
	values, slopes := l.grid.BoxSlopes(out, anchor)
	var b [4]dual
	for i := range b {
		b[i] = dual{values[i], slopes[i]}
	}
	return b
}
