package detector

import (
	"strings"
	"testing"

	"github.com/litterloop/litterloop/shared/errs"
)

func TestProbe(t *testing.T) {
	needRuntime(t)
	for _, name := range []string{"dynamic", "static", "half", "end2end", "nms"} {
		if certain, err := open(t, "testdata/"+name+".onnx", Options{}).Probe(t.Context()); err != nil || !certain {
			t.Errorf("%s: %t %v", name, certain, err)
		}
	}
	_, err := open(t, "testdata/silent.onnx", Options{}).Probe(t.Context())
	if code, _ := errs.Reason(err); code != ModelSilent || !strings.Contains(err.Error(), "144 anchors") {
		t.Errorf("the silent model: %v", err)
	}
}

// With nms=True the rows that hold no box are padding, whatever conf asks for.
func TestDetect_paddingIsNoBox(t *testing.T) {
	needRuntime(t)
	d := open(t, "testdata/nms.onnx", Options{})
	want := open(t, "testdata/end2end.onnx", Options{})
	photo := read(t, "wide.jpg")
	r, err := d.Detect(t.Context(), photo, Query{Conf: 1e-9})
	if err != nil {
		t.Fatal(err)
	}
	w, err := want.Detect(t.Context(), photo, Query{Conf: .25})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Detections) != len(w.Detections) {
		t.Errorf("%d boxes, want the %d above the export's own confidence", len(r.Detections), len(w.Detections))
	}
}
