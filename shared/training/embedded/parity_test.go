package embedded_test

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/litterloop/litterloop/shared/detector"
	"github.com/litterloop/litterloop/shared/drawing"
	"github.com/litterloop/litterloop/shared/modelpackage"
	"github.com/litterloop/litterloop/shared/onnxruntime"
	"github.com/litterloop/litterloop/shared/training/embedded"
)

// The detector that serves and the trainer's own forward pass share neither
// decoding nor suppression; on any photo they find the same.
func TestPredict_agreesWithTheDetector(t *testing.T) {
	if err := onnxruntime.Init(); err != nil {
		t.Skip("needs ONNX Runtime:", err)
	}
	model, err := embedded.Untrained([]string{"can", "bag", "bottle's cap"}, 160, 2)
	if err != nil {
		t.Fatal(err)
	}
	defer model.Close()
	served, err := detector.Open(model.ONNX, detector.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer served.Close()

	photos := map[string][]byte{}
	drawn, err := drawing.Set(3, 4, drawing.Day)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range drawn {
		photos[p.Name] = p.JPEG
	}
	for _, pattern := range []string{"exif_orientation/*.jpg", "taco_subset/batch_2/*.*"} {
		files, _ := filepath.Glob(filepath.Join("..", "..", "..", "..", "shared", "data", pattern))
		for _, f := range files[:min(len(files), 4)] {
			if photos[f], err = os.ReadFile(f); err != nil {
				t.Fatal(err)
			}
		}
	}
	total := 0
	for name, photo := range photos {
		want, err := model.Predict(t.Context(), photo, 0.25, 0.7, 300)
		if err != nil {
			t.Fatal(name, err)
		}
		got, err := served.Detect(t.Context(), photo, detector.Query{Conf: 0.25, IoU: 0.7, MaxDet: 300})
		if err != nil {
			t.Fatal(name, err)
		}
		if len(got.Detections) != len(want) {
			t.Errorf("%s: the detector finds %d, the trainer %d", name, len(got.Detections), len(want))
			continue
		}
		total += len(want)
		for _, w := range want {
			// Two of almost equal scores may change places.
			i := slices.IndexFunc(got.Detections, func(g modelpackage.Detection) bool { return same(g, w) })
			if i < 0 {
				t.Errorf("%s: the detector does not find the trainer's %+v", name, w)
				continue
			}
			got.Detections = slices.Delete(got.Detections, i, i+1)
		}
	}
	if total < 100 {
		t.Errorf("only %d detections compared", total)
	}
}

// same is what the gate demands of a golden photo: half a pixel, a thousandth.
func same(a, b modelpackage.Detection) bool {
	for k := range a.Box {
		if math.Abs(a.Box[k]-b.Box[k]) > 0.5 {
			return false
		}
	}
	return a.ClassID == b.ClassID && a.Class == b.Class && math.Abs(a.Confidence-b.Confidence) <= 0.001
}
