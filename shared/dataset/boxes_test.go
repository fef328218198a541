package dataset

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/litterloop/litterloop/shared/errs"
)

func TestClip(t *testing.T) {
	tests := []struct {
		name string
		in   Box
		want []Box
		code errs.Code
	}{
		{"inside", Box{0, 1, 2, 3, 4}, []Box{{0, 1, 2, 3, 4}}, ""},
		{"all of it", Box{0, 0, 0, 100, 50}, []Box{{0, 0, 0, 100, 50}}, ""},
		{"begins outside", Box{0, -5, 10, 10, 10}, []Box{{0, 0, 10, 5, 10}}, BoxNegativeOrigin},
		{"ends outside", Box{0, 95, 45, 10, 10}, []Box{{0, 95, 45, 5, 5}}, BoxBeyondEdge},
		{"ends outside by rounding", Box{0, 90, 40, 10.0004, 10}, []Box{{0, 90, 40, 10, 10}}, ""},
		{"larger than the photo", Box{0, -5, -5, 200, 200}, []Box{{0, 0, 0, 100, 50}}, BoxNegativeOrigin},
		{"beside it", Box{0, 100, 0, 5, 5}, []Box{}, BoxOutside},
		{"above it", Box{0, 0, -5, 5, 5}, []Box{}, BoxOutside},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var r Report
			if d := cmp.Diff(tt.want, Clip([]Box{tt.in}, 100, 50, "a.jpg", &r)); d != "" {
				t.Error(d)
			}
			var code errs.Code
			for _, f := range r.Findings() {
				code = f.Code
			}
			if code != tt.code {
				t.Errorf("found %q, want %q", code, tt.code)
			}
		})
	}
}

func TestYOLO_roundTrip(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		p := Photo{Width: 1 + rng.IntN(20_000), Height: 1 + rng.IntN(20_000)}
		for range rng.IntN(4) {
			x, y := rng.Float64()*float64(p.Width), rng.Float64()*float64(p.Height)
			p.Boxes = append(p.Boxes, Box{rng.IntN(80), x, y, rng.Float64() * (float64(p.Width) - x), rng.Float64() * (float64(p.Height) - y)})
		}
		back, err := FromYOLO(YOLO(p), p.Width, p.Height)
		if err != nil || len(back) != len(p.Boxes) {
			t.Fatalf("%d boxes became %d: %v", len(p.Boxes), len(back), err)
		}
		for i, b := range p.Boxes {
			for _, off := range []float64{b.X - back[i].X, b.Y - back[i].Y, b.W - back[i].W, b.H - back[i].H} {
				if math.Abs(off) > 0.001 || b.Class != back[i].Class {
					t.Fatalf("%+v became %+v on %dx%d", b, back[i], p.Width, p.Height)
				}
			}
		}
	}
}

func TestYOLO_text(t *testing.T) {
	p := Photo{Width: 100, Height: 50, Boxes: []Box{{3, 0, 0, 100, 50}, {0, 10, 10, 20, 10}, {12, 0, 0, 0.00001, 1}}}
	want := "3 0.5 0.5 1 1\n0 0.2 0.3 0.2 0.2\n12 0.00000005 0.01 0.0000001 0.02\n"
	if d := cmp.Diff(want, string(YOLO(p))); d != "" {
		t.Error(d)
	}
}

func TestFromYOLO_malformed(t *testing.T) {
	if _, err := FromYOLO([]byte("0 0.5 0.5 1 1\n1 0.5\n"), 10, 10); err == nil {
		t.Error("a line of two numbers was taken")
	}
}
