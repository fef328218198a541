package evaluation

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/litterloop/litterloop/shared/modelpackage"
)

// The figures come from pycocotools itself: testdata/cocoeval.py.
func TestEvaluate_equalsCocoeval(t *testing.T) {
	data, err := os.ReadFile("testdata/cocoeval.json")
	if err != nil {
		t.Fatal(err)
	}
	type perClass struct {
		Class, Support int
		AP50, AP       float64
	}
	var cases []struct {
		Name    string
		Classes int
		Photos  []Photo
		Want    struct {
			Summary  Summary
			PerClass []perClass `json:"per_class"`
		}
	}
	if err := json.Unmarshal(data, &cases); err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			names := make([]string, c.Classes)
			for i := range names {
				names[i] = fmt.Sprint(i)
			}
			want := modelpackage.Metrics{MAP50: c.Want.Summary.AP50, MAP50_95: c.Want.Summary.AP, Recall100: c.Want.Summary.AR100, Photos: len(c.Photos)}
			for _, p := range c.Want.PerClass {
				want.Boxes += p.Support
				want.PerClass = append(want.PerClass, modelpackage.ClassMetrics{Class: names[p.Class], Support: p.Support, AP50: p.AP50, AP50_95: p.AP})
			}
			near := cmp.Comparer(func(a, b float64) bool { return math.Abs(a-b) < 1e-9 })
			if diff := cmp.Diff(want, Evaluate(names, c.Photos), near); diff != "" {
				t.Errorf("other than pycocotools (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.Want.Summary, Summarize(c.Classes, c.Photos), near); diff != "" {
				t.Errorf("other than pycocotools (-want +got):\n%s", diff)
			}
		})
	}
}

func TestEvaluate_nothingToMeasure(t *testing.T) {
	found := Detection{Class: 0, Score: 0.9, Box: [4]float64{0, 0, 9, 9}}
	for _, c := range []struct {
		name   string
		photos []Photo
		want   modelpackage.Metrics
	}{
		{"no photos", nil, modelpackage.Metrics{}},
		{"a photo without labels", []Photo{{Detections: []Detection{found}}}, modelpackage.Metrics{Photos: 1}},
		{"labels but no detections", []Photo{{Labels: []Label{{0, found.Box}}}}, modelpackage.Metrics{
			Photos: 1, Boxes: 1, PerClass: []modelpackage.ClassMetrics{{Class: "can", Support: 1}}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, Evaluate([]string{"can", "bag"}, c.photos)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
