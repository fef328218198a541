package detector

import (
	"cmp"
	"slices"
)

// box is a detection in pixels of the model's input.
type box struct {
	x1, y1, x2, y2, score float32
	class                 int
}

const (
	// classOffset moves each class's boxes to a plane of its own, so that one
	// pass suppresses within classes alone. The value and float32 are
	// Ultralytics': at high class ids the sum rounds the box, and the rounding
	// shows in which boxes survive.
	classOffset = 7680
	// maxCandidates enter suppression; the rest, of lower score, are dropped.
	maxCandidates = 30000
)

// candidate is an anchor above the confidence threshold.
type candidate struct {
	anchor int32
	class  int32
	score  float32
}

// suppressor holds the memory of non-maximum suppression between calls.
type suppressor struct {
	best       []float32
	class      []int32
	candidates []candidate
	shifted    [][5]float32 // kept boxes, moved by class, and their area
	kept       []box
}

// anchors decodes a [4+classes, n] output: centre, size and one score a class
// for each of n anchors, as Ultralytics' non_max_suppression. The result is
// valid until the next call, best first.
func (s *suppressor) anchors(out []float32, classes, n int, q Query) []box {
	s.find(out, classes, n, float32(q.Conf), q.keeps())
	iou := float32(q.IoU)
	s.kept, s.shifted = s.kept[:0], s.shifted[:0]
	for _, c := range s.candidates {
		i := int(c.anchor)
		x, y, w, h := out[i], out[n+i], out[2*n+i]/2, out[3*n+i]/2
		b := box{x - w, y - h, x + w, y + h, c.score, int(c.class)}
		var shift float32
		if !q.AgnosticNMS {
			shift = float32(b.class) * classOffset
		}
		if !s.admit(b, shift, iou) {
			continue
		}
		if s.kept = append(s.kept, b); len(s.kept) == q.MaxDet {
			break
		}
	}
	return s.kept
}

// find collects the anchors whose best class is above conf, best first; equal
// scores keep the order of anchors.
func (s *suppressor) find(out []float32, classes, n int, conf float32, keeps func(int) bool) {
	if cap(s.best) < n {
		s.best, s.class = make([]float32, n), make([]int32, n)
	}
	best, class := s.best[:n], s.class[:n]
	for i := range best {
		best[i], class[i] = conf, -1
	}
	for c := range classes {
		scores := out[(4+c)*n : (5+c)*n]
		class, best := class[:len(scores)], best[:len(scores)]
		for i, v := range scores {
			if v > conf && v > best[i] { // the first is almost always false, and needs no memory
				best[i], class[i] = v, int32(c)
			}
		}
	}
	s.candidates = s.candidates[:0]
	for i, c := range class {
		if c >= 0 && keeps(int(c)) {
			s.candidates = append(s.candidates, candidate{int32(i), c, best[i]})
		}
	}
	slices.SortFunc(s.candidates, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(b.score, a.score), cmp.Compare(a.anchor, b.anchor))
	})
	s.candidates = s.candidates[:min(len(s.candidates), maxCandidates)]
}

// admit reports whether b overlaps no kept box by more than iou, and remembers
// it if so.
func (s *suppressor) admit(b box, shift, iou float32) bool {
	x1, y1, x2, y2 := b.x1+shift, b.y1+shift, b.x2+shift, b.y2+shift
	area := (x2 - x1) * (y2 - y1)
	for i := range s.shifted {
		k := &s.shifted[i]
		w, h := min(x2, k[2])-max(x1, k[0]), min(y2, k[3])-max(y1, k[1])
		if w <= 0 || h <= 0 {
			continue
		}
		if both := w * h; both/(k[4]+area-both) > iou {
			return false
		}
	}
	s.shifted = append(s.shifted, [5]float32{x1, y1, x2, y2, area})
	return true
}

// rows decodes an end-to-end output of [n, 6]: corners, score, class, already
// suppressed inside the model and best first.
func (s *suppressor) rows(out []float32, classes, n int, q Query) []box {
	s.kept = s.kept[:0]
	keeps := q.keeps()
	for i := range n {
		r := out[6*i : 6*i+6]
		class := int(r[5])
		if r[4] <= float32(q.Conf) || class < 0 || class >= classes || !keeps(class) {
			continue
		}
		if s.kept = append(s.kept, box{r[0], r[1], r[2], r[3], r[4], class}); len(s.kept) == q.MaxDet {
			break
		}
	}
	return s.kept
}
