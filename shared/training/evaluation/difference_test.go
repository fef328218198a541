package evaluation

import (
	"math"
	"testing"
)

func TestDifference_tellsDetectorsApartWhereThePhotosDo(t *testing.T) {
	box := [4]float64{10, 10, 50, 50}
	photos := func(found func(i int) bool) (all []Photo) {
		for i := range 40 {
			p := Photo{Labels: []Label{{0, box}}}
			if found(i) {
				p.Detections = []Detection{{0, 0.9, box}}
			}
			all = append(all, p)
		}
		return all
	}
	even, odd := photos(func(i int) bool { return i%2 == 0 }), photos(func(i int) bool { return i%2 == 1 })
	most := photos(func(i int) bool { return i%8 > 0 })
	if d := Difference(1, even, even); d != (Interval{}) {
		t.Errorf("of a detector from itself: %+v", d)
	}
	if d := Difference(1, even, odd); d.Low > 0 || d.High < 0 || d.High-d.Low < 0.1 {
		t.Errorf("of equally good ones: %+v, want 0 well inside", d)
	}
	better, worse := Difference(1, even, most), Difference(1, most, even)
	if better.Low <= 0 || worse.High >= 0 {
		t.Errorf("of a better one %+v, of a worse one %+v", better, worse)
	}
	if d := Difference(2, nil, nil); d != (Interval{}) || math.IsNaN(d.Low) {
		t.Errorf("of no photos: %+v", d)
	}
}
