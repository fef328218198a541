package embedded

import (
	"bytes"
	"testing"

	"github.com/litterloop/litterloop/shared/drawing"
)

func TestUntrained_detectsTheSameEveryTime(t *testing.T) {
	needRuntime(t)
	photo, err := drawing.Draw(1, 1, drawing.Day)
	if err != nil {
		t.Fatal(err)
	}
	var models [2]*Model
	for i := range models {
		m, err := Untrained([]string{"can", "bag"}, 96, 5)
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		models[i] = m
		found, err := m.Predict(t.Context(), photo.JPEG, 0.25, 0.7, 300)
		if err != nil {
			t.Fatal(err)
		}
		if len(found) < 3 || len(found) > 250 {
			t.Errorf("%d detections, want some but not everywhere", len(found))
		}
	}
	if !bytes.Equal(models[0].ONNX, models[1].ONNX) || !bytes.Equal(models[0].Checkpoint, models[1].Checkpoint) {
		t.Error("one seed made two models")
	}
}
