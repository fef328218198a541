package validation

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/litterloop/litterloop/shared/dataset"
)

// checkLabels looks at everything that needs no pixels. It returns the largest
// error in pixels of a box's round trip through its label file.
func checkLabels(f *findings, v dataset.Version, photos []dataset.Photo) (worst float64) {
	splits := map[string]dataset.Photo{} // first photo of each content
	empty := 0
	for _, p := range photos {
		if first, again := splits[p.MD5]; !again {
			splits[p.MD5] = p
		} else if first.Split != p.Split {
			f.add(SplitLeak, Example{Photo: p.Path, Note: "as " + first.Path})
		} else {
			f.add(BatchesShare, Example{Photo: p.Path, Note: "as " + first.Path})
		}
		if len(p.Boxes) == 0 {
			empty++
		}
		checkBoxes(f, p)
		worst = max(worst, roundTrip(f, p))
	}
	if n := v.Splits[dataset.Train].Photos; n < f.policy.MinTrain {
		f.add(TooFewTrain, Example{Note: fmt.Sprintf("%d photos, %d needed", n, f.policy.MinTrain)})
	}
	if n := v.Splits[dataset.Val].Photos; n < f.policy.MinVal {
		f.add(TooFewVal, Example{Note: fmt.Sprintf("%d photos, %d needed", n, f.policy.MinVal)})
	}
	if v.Counts.Boxes == 0 {
		f.add(NoBoxes, Example{Note: fmt.Sprintf("%d photos", v.Counts.Photos)})
	}
	if share := float64(empty) / float64(max(len(photos), 1)); share > f.policy.MaxEmpty {
		f.add(ManyEmpty, Example{Note: fmt.Sprintf("%d of %d photos", empty, len(photos))})
	}
	checkClasses(f, v, photos)
	return worst
}

func checkBoxes(f *findings, p dataset.Photo) {
	scale := float64(f.policy.ImageSize) / float64(max(p.Width, p.Height, 1))
	area := float64(p.Width) * float64(p.Height)
	const rounding = 1e-6
	for i, b := range p.Boxes {
		if b.X < 0 || b.Y < 0 || b.X+b.W > float64(p.Width)+rounding || b.Y+b.H > float64(p.Height)+rounding {
			f.add(NotClipped, Example{Photo: p.Path, Box: &b})
		}
		if side := min(b.W, b.H) * scale; side < f.policy.TinyBox {
			f.add(TinyBox, Example{Photo: p.Path, Box: &b, Note: fmt.Sprintf("%.1f px at %d", side, f.policy.ImageSize)})
		}
		if b.W*b.H > 0.95*area {
			f.add(WholePhoto, Example{Photo: p.Path, Box: &b})
		}
		for _, other := range p.Boxes[:i] {
			if iou(b, other) <= f.policy.DuplicateIoU {
				continue
			}
			if b.Class == other.Class {
				f.add(DuplicateBox, Example{Photo: p.Path, Box: &b})
			} else {
				f.add(ConflictingBox, Example{Photo: p.Path, Box: &b})
			}
		}
	}
}

func iou(a, b dataset.Box) float64 {
	w := min(a.X+a.W, b.X+b.W) - max(a.X, b.X)
	h := min(a.Y+a.H, b.Y+b.H) - max(a.Y, b.Y)
	if w <= 0 || h <= 0 {
		return 0
	}
	return w * h / (a.W*a.H + b.W*b.H - w*h)
}

// exact is how far in pixels a box may move on its way through a label file.
const exact = 0.01

func roundTrip(f *findings, p dataset.Photo) (worst float64) {
	back, err := dataset.FromYOLO(dataset.YOLO(p), p.Width, p.Height)
	if err != nil || len(back) != len(p.Boxes) {
		f.add(RoundTrip, Example{Photo: p.Path, Note: fmt.Sprintf("%d boxes became %d: %v", len(p.Boxes), len(back), err)})
		return 0
	}
	for i, b := range p.Boxes {
		off := max(math.Abs(b.X-back[i].X), math.Abs(b.Y-back[i].Y), math.Abs(b.X+b.W-back[i].X-back[i].W), math.Abs(b.Y+b.H-back[i].Y-back[i].H))
		if off > exact {
			f.add(RoundTrip, Example{Photo: p.Path, Box: &b, Note: fmt.Sprintf("%.3f px off", off)})
		}
		worst = max(worst, off)
	}
	return worst
}

func checkClasses(f *findings, v dataset.Version, photos []dataset.Photo) {
	held := make([]int, len(v.Classes))
	for _, p := range photos {
		for _, b := range p.Boxes {
			if p.Split == dataset.Val {
				held[b.Class]++
			}
		}
	}
	alike := map[string]string{}
	var used []int
	for i, name := range v.Classes {
		n := v.PerClass[i]
		switch {
		case n == 0:
			f.add(ClassEmpty, Example{Note: name})
		case n < f.policy.MinBoxes:
			f.add(ClassFew, Example{Note: fmt.Sprintf("%s: %d boxes", name, n)})
		}
		if n > 0 {
			used = append(used, n)
			if held[i] == 0 {
				f.add(ClassNotHeldOut, Example{Note: fmt.Sprintf("%s: %d boxes", name, n)})
			}
		}
		key := strings.ToLower(strings.Join(strings.FieldsFunc(name, func(r rune) bool { return r == ' ' || r == '_' || r == '-' }), " "))
		if first, ok := alike[key]; ok {
			f.add(ClassNamesAlike, Example{Note: fmt.Sprintf("%q and %q", first, name)})
		} else {
			alike[key] = name
		}
	}
	if len(used) < 2 {
		return
	}
	slices.SortFunc(used, cmp.Compare[int])
	if most, median := used[len(used)-1], used[(len(used)-1)/2]; float64(most) > f.policy.MaxImbalance*float64(median) {
		f.add(ClassImbalance, Example{Note: fmt.Sprintf("%d boxes against a median of %d", most, median)})
	}
}

// checkBatches takes over what converting the batches found: what was left out,
// cut or there twice, and doubts about sizes.
func checkBatches(f *findings, v dataset.Version, batches []dataset.BatchStatus) {
	for _, b := range batches {
		if b.State != dataset.Converted || !slices.Contains(v.Batches, b.Batch) {
			continue
		}
		for _, found := range b.Findings {
			if found.Kind == dataset.Note && found.Code != dataset.SizeDiffers && found.Code != dataset.OrientationSuspect {
				continue
			}
			examples := make([]Example, len(found.Examples))
			for i, e := range found.Examples {
				examples[i] = Example{Note: b.Batch + "/" + e}
			}
			severity, message := Warn, found.Message
			if d, ok := defaults[found.Code]; ok {
				severity, message = d.severity, d.message
			}
			f.addAs(found.Code, severity, message, found.Count, examples...)
		}
	}
}
