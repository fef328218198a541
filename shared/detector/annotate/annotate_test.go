package annotate

import (
	"image"
	"testing"

	"github.com/litterloop/litterloop/shared/imaging"
	"github.com/litterloop/litterloop/shared/modelpackage"
)

func grey(w, h int) *imaging.Image {
	im := &imaging.Image{Pix: make([]byte, 3*w*h), W: w, H: h}
	for i := range im.Pix {
		im.Pix[i] = 90
	}
	return im
}

func TestDraw_boxIsWhereItWasFound(t *testing.T) {
	found := modelpackage.Detection{Box: [4]float64{40, 60, 160, 120}, ClassID: 2, Class: "driver's cup", Confidence: 0.87}
	out, err := Draw(grey(200, 150), []modelpackage.Detection{found})
	if err != nil {
		t.Fatal(err)
	}
	if out.Bounds() != image.Rect(0, 0, 200, 150) {
		t.Fatalf("photo of %v", out.Bounds())
	}
	for _, p := range []image.Point{{40, 100}, {159, 100}, {100, 60}, {100, 119}} {
		if out.RGBAAt(p.X, p.Y) != Colour(2) {
			t.Errorf("no line at %v", p)
		}
	}
	for _, p := range []image.Point{{100, 90}, {38, 100}, {162, 100}, {100, 125}} {
		if out.RGBAAt(p.X, p.Y).R != 90 {
			t.Errorf("the photo is painted over at %v", p)
		}
	}
}

// Boxes at and beyond the edges, of no size, of many: nothing panics.
func TestDraw_extremes(t *testing.T) {
	var found []modelpackage.Detection
	for i, box := range [][4]float64{{0, 0, 0, 0}, {-5, -5, 500, 500}, {3, 3, 3.2, 3.1}, {9, 0, 10, 10}, {1e6, 1e6, 2e6, 2e6}} {
		found = append(found, modelpackage.Detection{Box: box, ClassID: i * 1000, Class: "ünïcode 🚮"})
	}
	for _, size := range [][2]int{{1, 1}, {10, 10}, {3000, 2}} {
		if _, err := Draw(grey(size[0], size[1]), found); err != nil {
			t.Error(err)
		}
	}
}

func TestColour_neighboursDiffer(t *testing.T) {
	for class := range 200 {
		a, b := Colour(class), Colour(class+1)
		if d := abs(a.R, b.R) + abs(a.G, b.G) + abs(a.B, b.B); d < 60 {
			t.Errorf("classes %d and %d are both %v", class, class+1, a)
		}
	}
}

func abs(a, b uint8) int { return max(int(a), int(b)) - min(int(a), int(b)) }
