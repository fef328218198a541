package detector

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/litterloop/litterloop/shared/modelpackage"
	"github.com/litterloop/litterloop/shared/onnxruntime"
)

// shared is where recorded answers of Ultralytics lie on a development machine.
const shared = "../../../shared/data"

// reference is what Ultralytics' own predict answered for the photos.
type reference struct {
	IoU    float64 `json:"iou"`
	MaxDet int     `json:"max_det"`
	Photos map[string]struct {
		Height, Width int
		Loose         [][6]float64 `json:"0.05"`
		Strict        [][6]float64 `json:"0.25"`
	}
}

func needRuntime(t testing.TB) {
	t.Helper()
	if err := onnxruntime.Init(); err != nil {
		t.Skip(err)
	}
}

func TestDetect_equalsUltralytics(t *testing.T) {
	needRuntime(t)
	for _, kind := range []string{"dynamic", "static"} {
		t.Run(kind, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join(shared, "parity", "yolo11n_"+kind+".json"))
			if err != nil {
				t.Skip("no recorded answers: ", err)
			}
			var ref reference
			if err := json.Unmarshal(text, &ref); err != nil {
				t.Fatal(err)
			}
			d := open(t, filepath.Join(shared, "parity", "yolo11n_"+kind+".onnx"), Options{})
			for name, want := range ref.Photos {
				photo, err := os.ReadFile(filepath.Join(shared, name))
				if err != nil {
					photo, err = os.ReadFile(filepath.Join(shared, "taco_subset", name))
				}
				if err != nil {
					t.Fatal(err)
				}
				for conf, boxes := range map[float64][][6]float64{0.05: want.Loose, 0.25: want.Strict} {
					r, err := d.Detect(t.Context(), photo, Query{Conf: conf, IoU: ref.IoU, MaxDet: ref.MaxDet})
					if err != nil {
						t.Fatal(err)
					}
					if r.Width != want.Width || r.Height != want.Height {
						t.Errorf("%s is %dx%d, want %dx%d", name, r.Width, r.Height, want.Width, want.Height)
					}
					if err := equal(r.Detections, boxes); err != nil {
						t.Errorf("%s at conf %v: %v", name, conf, err)
					}
				}
			}
		})
	}
}

// equal compares in order: 0.01 px and 1e-4 of confidence.
func equal(got []modelpackage.Detection, want [][6]float64) error {
	if len(got) != len(want) {
		return fmt.Errorf("%d boxes, want %d", len(got), len(want))
	}
	for i, w := range want {
		g := got[i]
		if g.ClassID != int(w[5]) || math.Abs(g.Confidence-w[4]) > 1e-4 {
			return fmt.Errorf("box %d is class %d at %.5f, want %v at %.5f", i, g.ClassID, g.Confidence, w[5], w[4])
		}
		for k := range 4 {
			if math.Abs(g.Box[k]-w[k]) > 0.01 {
				return fmt.Errorf("box %d is %v, want %v", i, g.Box, w[:4])
			}
		}
	}
	return nil
}

func open(t testing.TB, path string, o Options) *Detector {
	t.Helper()
	model, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	d, err := Open(model, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}
