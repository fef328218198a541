package detector

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/litterloop/litterloop/shared/imaging"
)

// fixture is one answer that testdata/make.py computed.
type fixture struct {
	Model, Photo string
	Conf, IoU    float64
	MaxDet       int   `json:"max_det"`
	Classes      []int `json:"classes"`
	AgnosticNMS  bool  `json:"agnostic_nms"`
	Width        int
	Height       int
	Boxes        [][6]float64
}

func fixtures(t testing.TB) []fixture {
	t.Helper()
	text, err := os.ReadFile("testdata/expected.json")
	if err != nil {
		t.Fatal(err)
	}
	var all []fixture
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

func read(t testing.TB, name string) []byte {
	t.Helper()
	p, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func needTurbo(t testing.TB) {
	t.Helper()
	if imaging.Backend() != "libjpeg-turbo" {
		t.Skip("libjpeg-turbo is not installed: JPEG is only nearly exact")
	}
}

func TestDetect_fixtures(t *testing.T) {
	needRuntime(t)
	needTurbo(t)
	byModel := map[string][]fixture{}
	for _, f := range fixtures(t) {
		byModel[f.Model] = append(byModel[f.Model], f)
	}
	for model, answers := range byModel {
		t.Run(model, func(t *testing.T) {
			d := open(t, "testdata/"+model+".onnx", Options{})
			for _, f := range answers {
				q := Query{Conf: f.Conf, IoU: f.IoU, MaxDet: f.MaxDet, Classes: f.Classes, AgnosticNMS: f.AgnosticNMS}
				t.Run(fmt.Sprintf("%s %+v", f.Photo, q), func(t *testing.T) {
					r, err := d.Detect(t.Context(), read(t, f.Photo), q)
					if err != nil {
						t.Fatal(err)
					}
					if r.Width != f.Width || r.Height != f.Height {
						t.Errorf("photo is %dx%d, want %dx%d", r.Width, r.Height, f.Width, f.Height)
					}
					if err := equal(r.Detections, f.Boxes); err != nil {
						t.Error(err)
					}
				})
			}
		})
	}
}
