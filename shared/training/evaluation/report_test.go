package evaluation

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func box(x float64) [4]float64 { return [4]float64{x, 0, x + 10, 10} }

func TestNewReport_saysWhereItFails(t *testing.T) {
	photos := []Photo{
		{Name: "good", Labels: []Label{{0, box(0)}, {1, box(50)}}, Detections: []Detection{{0, 0.9, box(0)}, {1, 0.8, box(50)}}},
		{Name: "confused", Labels: []Label{{0, box(0)}}, Detections: []Detection{{1, 0.85, box(0)}}},
		{Name: "blind", Labels: []Label{{0, box(0)}, {0, box(30)}}, Detections: []Detection{{0, 0.7, box(100)}, {0, 0.65, box(30)}, {1, 0.01, box(60)}}},
	}
	r := NewReport([]string{"can", "bag", "never"}, []int{100, 5, 0}, photos)
	want := [][]int{{2, 1, 0, 1}, {0, 1, 0, 0}, {0, 0, 0, 0}, {1, 0, 0, 0}}
	if diff := cmp.Diff(want, r.Confusion); diff != "" {
		t.Errorf("confusion at %g (-want +got):\n%s", r.Confidence, diff)
	}
	var worst []string
	for _, w := range r.Worst {
		worst = append(worst, w.Photo)
	}
	if diff := cmp.Diff([]string{"blind", "confused"}, worst); diff != "" {
		t.Errorf("worst photos (-want +got):\n%s", diff)
	}
	if len(r.Doubts) != 2 || !strings.Contains(r.Doubts[0], "can: measured on 4 boxes") || !strings.Contains(r.Doubts[1], "bag: 5 boxes are too few") {
		t.Errorf("doubts %q", r.Doubts)
	}
	if i := r.MAP50; i.Low > r.Summary.AP50 || i.High < r.Summary.AP50 || i.Low == i.High {
		t.Errorf("mAP50 %g outside or sure of itself: %+v", r.Summary.AP50, i)
	}
	for name, svg := range map[string][]byte{"curves": r.Curves(), "matrix": r.Matrix()} {
		d := xml.NewDecoder(bytes.NewReader(svg))
		for {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s is no XML: %v", name, err)
			}
		}
	}
}

// Intervals of a sample hold the truth about as often as they say.
func TestBootstrap_isOfPhotosNotOfBoxes(t *testing.T) {
	var photos []Photo
	for i := range 40 {
		p := Photo{Labels: []Label{{0, box(0)}}}
		if i%2 == 0 {
			p.Detections = []Detection{{0, 0.9, box(0)}}
		}
		photos = append(photos, p)
	}
	r := NewReport([]string{"can"}, []int{100}, photos)
	if i := r.MAP50; i.Low < 0.3 || i.Low > 0.45 || i.High < 0.55 || i.High > 0.7 {
		t.Errorf("half of 40 photos: %+v; the binomial law gives 0.37 to 0.63", i)
	}
}

func TestNewReport_ofNothing(t *testing.T) {
	r := NewReport([]string{"can"}, []int{0}, nil)
	if r.Summary.AP != -1 || len(r.Curves()) == 0 || len(r.Matrix()) == 0 {
		t.Errorf("%+v", r)
	}
}
