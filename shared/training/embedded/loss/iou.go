package loss

import "math"

// tiny keeps quotients of empty boxes finite.
const tiny = 1e-7

// iou is the intersection over union of two boxes x1, y1, x2, y2; 0 for boxes
// that do not meet.
func iou(a, b [4]float64) float64 {
	w := math.Min(a[2], b[2]) - math.Max(a[0], b[0])
	h := math.Min(a[3], b[3]) - math.Max(a[1], b[1])
	if w <= 0 || h <= 0 {
		return 0
	}
	common := w * h
	return common / ((a[2]-a[0])*(a[3]-a[1]) + (b[2]-b[0])*(b[3]-b[1]) - common)
}

// ciou is the complete IoU (Zheng et al. 2020, eq. 9-11) of a predicted box
// with a labelled one: overlap, less the distance of the centres and the
// difference of the aspect ratios. As in that paper the weight alpha of the
// aspect term counts as a constant.
func ciou(p [4]dual, label [4]float64) dual {
	var b [4]dual
	for i, v := range label {
		b[i] = number(v)
	}
	zero, eps := number(0), number(tiny)
	pw, ph := sub(p[2], p[0]), sub(p[3], p[1])
	bw, bh := label[2]-label[0], label[3]-label[1]

	w := maximum(sub(minimum(p[2], b[2]), maximum(p[0], b[0])), zero)
	h := maximum(sub(minimum(p[3], b[3]), maximum(p[1], b[1])), zero)
	common := mul(w, h)
	overlap := div(common, add(sub(add(mul(pw, ph), number(bw*bh)), common), eps))

	hullW := sub(maximum(p[2], b[2]), minimum(p[0], b[0]))
	hullH := sub(maximum(p[3], b[3]), minimum(p[1], b[1]))
	diagonal := add(add(square(hullW), square(hullH)), eps)
	dx := scale(sub(add(p[0], p[2]), add(b[0], b[2])), 0.5)
	dy := scale(sub(add(p[1], p[3]), add(b[1], b[3])), 0.5)
	distance := div(add(square(dx), square(dy)), diagonal)

	aspect := sub(number(math.Atan(bw/(bh+tiny))), atan(div(pw, add(ph, eps))))
	v := scale(square(aspect), 4/(math.Pi*math.Pi))
	alpha := v.v / (v.v - overlap.v + 1 + tiny)
	return sub(overlap, add(distance, scale(v, alpha)))
}
