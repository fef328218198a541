package validation

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/litterloop/litterloop/shared/dataset"
	"github.com/litterloop/litterloop/shared/errs"
)

// sound is a version with nothing to find: two classes, ten boxes of each in
// both splits, every photo of its own look.
func sound() (dataset.Version, []dataset.Photo, map[string]dataset.Measured) {
	v := dataset.Version{ID: "v", Classes: []string{"Can", "Cup"}, PerClass: []int{20, 20}, Counts: dataset.Counts{Photos: 20, Boxes: 40}, Batches: []string{"b"},
		Splits: map[dataset.Split]dataset.Counts{dataset.Train: {Photos: 10, Boxes: 20}, dataset.Val: {Photos: 10, Boxes: 20}}}
	measured := map[string]dataset.Measured{}
	var photos []dataset.Photo
	for i := range 20 {
		md5 := fmt.Sprintf("%032x", i)
		p := dataset.Photo{Path: fmt.Sprintf("images/train/b/%02d.jpg", i), MD5: md5, Width: 640, Height: 480, Split: dataset.Train, Batch: "b",
			Boxes: []dataset.Box{{Class: 0, X: 10, Y: 10, W: 50, H: 50}, {Class: 1, X: 100, Y: 100, W: 80, H: 40}}}
		if i%2 == 1 {
			p.Split = dataset.Val
		}
		photos = append(photos, p)
		measured[md5] = dataset.Measured{MD5: md5, Width: 640, Height: 480, Brightness: 120, Contrast: 50, Sharpness: 500, Hash: 0x9e3779b97f4a7c15 * uint64(i+1)}
	}
	return v, photos, measured
}

func TestCheck(t *testing.T) {
	type world struct {
		v        *dataset.Version
		photos   []dataset.Photo
		measured map[string]dataset.Measured
		faults   map[string]error
		batches  *[]dataset.BatchStatus
		policy   *Policy
	}
	look := func(w world, i int, change func(*dataset.Measured)) {
		m := w.measured[w.photos[i].MD5]
		change(&m)
		w.measured[w.photos[i].MD5] = m
	}
	tests := []struct {
		name   string
		spoil  func(world)
		want   []errs.Code
		passed bool
	}{
		{"nothing", func(world) {}, nil, true},
		{"no photo to train on", func(w world) { w.v.Splits[dataset.Train] = dataset.Counts{} }, []errs.Code{TooFewTrain}, false},
		{"boxes that label files cannot hold", func(w world) {
			w.photos[0].Width = 40_000_000
			look(w, 0, func(m *dataset.Measured) { m.Width = 40_000_000 })
			w.photos[0].Boxes = []dataset.Box{{X: 333_333.33, Y: 10, W: 3_333_333.3, H: 100}}
		}, []errs.Code{RoundTrip, TinyBox}, false},
		{"what converting left out, cut and found twice", func(w world) {
			found := func(code errs.Code, kind dataset.Kind) dataset.Finding {
				return dataset.Finding{Code: code, Kind: kind, Message: "m", Count: 3, Examples: []string{"a.jpg: [-5 0 9 9] cut by 5 px", "b.jpg"}}
			}
			*w.batches = []dataset.BatchStatus{{Batch: "b", State: dataset.Converted, Findings: []dataset.Finding{
				found(dataset.BoxNotFinite, dataset.Quarantined), found(dataset.BoxEmpty, dataset.Quarantined), found(dataset.BoxOutside, dataset.Quarantined),
				found(dataset.BoxNegativeOrigin, dataset.Clipped), found(dataset.BoxBeyondEdge, dataset.Clipped), found(dataset.PhotoDuplicate, dataset.Duplicate),
				found(dataset.NameChanged, dataset.Note)}}}
		}, []errs.Code{dataset.BoxNotFinite, dataset.BoxEmpty, dataset.BoxOutside, dataset.BoxNegativeOrigin, dataset.BoxBeyondEdge, dataset.PhotoDuplicate}, true},
		{"labels of photos before they were turned", func(w world) {
			*w.batches = []dataset.BatchStatus{{Batch: "b", State: dataset.Converted, Findings: []dataset.Finding{{Code: dataset.OrientationSuspect, Kind: dataset.Note, Message: "m", Count: 1, Examples: []string{"a.jpg"}}}}}
		}, []errs.Code{dataset.OrientationSuspect}, true},
		{"a finding of converting that the policy forbids", func(w world) {
			*w.batches = []dataset.BatchStatus{{Batch: "b", State: dataset.Converted, Findings: []dataset.Finding{{Code: dataset.BoxNotFinite, Kind: dataset.Quarantined, Message: "m", Count: 1, Examples: []string{"a.jpg"}}}}}
			w.policy.Severities = map[errs.Code]Severity{dataset.BoxNotFinite: Block}
		}, []errs.Code{dataset.BoxNotFinite}, false},
		{"no photo held out", func(w world) { w.v.Splits[dataset.Val] = dataset.Counts{} }, []errs.Code{TooFewVal}, false},
		{"nothing labelled", func(w world) { w.v.Counts.Boxes = 0 }, []errs.Code{NoBoxes}, false},
		{"a photo in both splits", func(w world) { w.photos[1].MD5 = w.photos[0].MD5 }, []errs.Code{SplitLeak}, false},
		{"a photo in two batches", func(w world) { w.photos[2].MD5 = w.photos[0].MD5 }, []errs.Code{BatchesShare}, true},
		{"a box outside", func(w world) { w.photos[0].Boxes[0].X = 600 }, []errs.Code{NotClipped}, false},
		{"a tiny box", func(w world) { w.photos[0].Boxes[0].W = 3 }, []errs.Code{TinyBox}, true},
		{"one object labelled twice", func(w world) { w.photos[0].Boxes = append(w.photos[0].Boxes, w.photos[0].Boxes[0]) }, []errs.Code{DuplicateBox}, true},
		{"one object, two opinions", func(w world) {
			w.photos[0].Boxes = append(w.photos[0].Boxes, w.photos[0].Boxes[0])
			w.photos[0].Boxes[2].Class = 1
		}, []errs.Code{ConflictingBox}, true},
		{"a box around the photo", func(w world) { w.photos[0].Boxes[0] = dataset.Box{W: 640, H: 480} }, []errs.Code{WholePhoto}, true},
		{"a class without boxes", func(w world) { w.v.Classes, w.v.PerClass = append(w.v.Classes, "Bag"), append(w.v.PerClass, 0) }, []errs.Code{ClassEmpty}, true},
		{"a class with few", func(w world) { w.v.PerClass[1] = 9 }, []errs.Code{ClassFew}, true},
		{"a class not held out", func(w world) {
			for i := range w.photos {
				if w.photos[i].Split == dataset.Val {
					w.photos[i].Boxes = w.photos[i].Boxes[:1]
				}
			}
		}, []errs.Code{ClassNotHeldOut}, true},
		{"classes of nearly one name", func(w world) { w.v.Classes[1] = "can" }, []errs.Code{ClassNamesAlike}, true},
		{"one class above all", func(w world) {
			w.v.Classes, w.v.PerClass = append(w.v.Classes, "Bag"), []int{2000, 20, 0}
		}, []errs.Code{ClassImbalance, ClassEmpty}, true},
		{"mostly unlabelled", func(w world) {
			for i := range 11 {
				w.photos[i].Boxes = nil
			}
		}, []errs.Code{ManyEmpty}, true},
		{"a photo that is gone", func(w world) { w.faults[w.photos[3].MD5] = errors.New("not found") }, []errs.Code{Corrupt}, false},
		{"a photo of another size", func(w world) { look(w, 3, func(m *dataset.Measured) { m.Width = 641 }) }, []errs.Code{SizeWrong}, false},
		{"dark, bright and blurred photos", func(w world) {
			look(w, 0, func(m *dataset.Measured) { m.Brightness = 5 })
			look(w, 1, func(m *dataset.Measured) { m.Brightness = 250 })
			look(w, 2, func(m *dataset.Measured) { m.Sharpness = 1 })
		}, []errs.Code{Dark, Bright, Blurred}, true},
		{"photos alike in one split", func(w world) {
			look(w, 2, func(m *dataset.Measured) { m.Hash = w.measured[w.photos[0].MD5].Hash ^ 1 })
		}, []errs.Code{NearDuplicate}, true},
		{"photos alike across the splits", func(w world) {
			look(w, 1, func(m *dataset.Measured) { m.Hash = w.measured[w.photos[0].MD5].Hash ^ 1<<63 })
		}, []errs.Code{NearDuplicateGap}, true},
		{"a batch of another version with sizes that differ", func(w world) {
			*w.batches = []dataset.BatchStatus{{Batch: "other", State: dataset.Converted, Findings: []dataset.Finding{{Code: dataset.SizeDiffers, Kind: dataset.Note, Count: 1, Examples: []string{"a.jpg"}}}}}
		}, nil, true},
		{"sizes that differ from the labels'", func(w world) {
			*w.batches = []dataset.BatchStatus{{Batch: "b", State: dataset.Converted, Counts: dataset.Counts{Photos: 20, Boxes: 40}, Findings: []dataset.Finding{{Code: dataset.SizeDiffers, Kind: dataset.Note, Message: "m", Count: 12, Examples: []string{"a.jpg"}}}}}
		}, []errs.Code{SizeDiffers}, true},
		{"what the policy lets pass", func(w world) {
			w.photos[1].MD5 = w.photos[0].MD5
			w.policy.Severities = map[errs.Code]Severity{SplitLeak: Warn}
		}, []errs.Code{SplitLeak}, true},
		{"what the policy does not want to hear", func(w world) {
			w.photos[0].Boxes[0].W = 3
			w.policy.Severities = map[errs.Code]Severity{TinyBox: Ignore}
		}, nil, true},
		{"what the policy forbids", func(w world) {
			w.photos[0].Boxes[0].W = 3
			w.policy.Severities = map[errs.Code]Severity{TinyBox: Block}
		}, []errs.Code{TinyBox}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v, photos, measured := sound()
			policy := DefaultPolicy()
			w := world{&v, photos, measured, map[string]error{}, &[]dataset.BatchStatus{}, &policy}
			tt.spoil(w)
			if err := policy.Validate(); err != nil {
				t.Fatal(err)
			}
			r := check(v, photos, *w.batches, measured, w.faults, policy)
			got := map[errs.Code]bool{}
			for _, f := range r.Findings {
				got[f.Code] = true
				if f.Message == "" || f.Count < len(f.Examples) || len(f.Examples) == 0 {
					t.Errorf("%+v", f)
				}
			}
			want := map[errs.Code]bool{}
			for _, c := range tt.want {
				want[c] = true
			}
			if d := cmp.Diff(want, got); d != "" || r.Passed != tt.passed {
				t.Errorf("passed %v: %s", r.Passed, d)
			}
		})
	}
}

func TestPolicy_reportsEveryFault(t *testing.T) {
	if err := DefaultPolicy().Validate(); err != nil {
		t.Error(err)
	}
	bad := Policy{Severities: map[errs.Code]Severity{"box-tinny": Warn, TinyBox: "stop"}, MinTrain: -1, NearDuplicateBits: 4, Dark: 9}
	err := bad.Validate()
	for _, says := range []string{"box-tinny", `"stop"`, "min_train", "image_size", "near_duplicate_bits", "max_imbalance", "duplicate_iou", "dark is 9"} {
		if !strings.Contains(fmt.Sprint(err), says) {
			t.Errorf("the faults leave out %q: %v", says, err)
		}
	}
}

func TestCharts(t *testing.T) {
	c := histogram("t", "", []float64{0, 1, 1, 4}, 4)
	var heights []float64
	for _, b := range c.Bars {
		heights = append(heights, b.H)
	}
	if d := cmp.Diff([]float64{chartHeight / 2, chartHeight, 0, chartHeight / 2}, heights); d != "" {
		t.Error(d)
	}
	for name, values := range map[string][]float64{"none": nil, "one": {7}, "equal": {3, 3, 3}, "zero": {0}} {
		for _, c := range []chart{histogram(name, "", values, 5), logHistogram(name, "", values)} {
			if c.Empty != (len(values) == 0) || !c.Empty && len(c.Bars) == 0 {
				t.Errorf("%s: %+v", name, c)
			}
		}
	}
}
