package worst_test

import (
	"bytes"
	"image/jpeg"
	"testing"

	"github.com/litterloop/litterloop/shared/drawing"
	"github.com/litterloop/litterloop/shared/training/evaluation"
	"github.com/litterloop/litterloop/shared/training/evaluation/worst"
)

func TestDraw_marksRightAndWrong(t *testing.T) {
	photos, err := drawing.Set(1, 1, drawing.Day)
	if err != nil {
		t.Fatal(err)
	}
	p := evaluation.Photo{
		Labels:     []evaluation.Label{{Class: 0, Box: [4]float64{20, 20, 120, 120}}},
		Detections: []evaluation.Detection{{Class: 0, Score: 0.9, Box: [4]float64{20, 20, 120, 120}}, {Class: 1, Score: 0.8, Box: [4]float64{150, 150, 200, 200}}, {Class: 1, Score: 0.1, Box: [4]float64{0, 0, 300, 300}}},
	}
	out, err := worst.Draw(photos[0].JPEG, p, 0.5)
	if err != nil {
		t.Fatal(err)
	}
	im, err := jpeg.Decode(bytes.NewReader(out))
	if err != nil {
		t.Fatal(err)
	}
	near := func(x, y int, r, g, b uint32) {
		t.Helper()
		gr, gg, gb, _ := im.At(x, y).RGBA()
		for i, d := range []int{int(gr>>8) - int(r), int(gg>>8) - int(g), int(gb>>8) - int(b)} {
			if d < -60 || d > 60 {
				t.Errorf("at (%d, %d) colour %d is off by %d", x, y, i, d)
			}
		}
	}
	near(70, 20, 0, 158, 115)  // found
	near(175, 150, 213, 94, 0) // wrong
	if _, err := worst.Draw([]byte("no photo"), p, 0.5); err == nil {
		t.Error("no photo was drawn on")
	}
}
