package augment

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// marked is a black photo whose boxes are filled with white.
func marked(w, h int, boxes ...Box) *Photo {
	pix := make([]byte, 3*w*h)
	for _, b := range boxes {
		for y := int(b.Y1); y < int(b.Y2); y++ {
			for x := int(b.X1); x < int(b.X2); x++ {
				for c := range 3 {
					pix[3*(y*w+x)+c] = 255
				}
			}
		}
	}
	return NewPhoto(pix, w, h, boxes, 1<<20)
}

// white is the smallest box around the white pixels inside an area of a plane.
func white(plane []float32, size int) (b Box, found bool) {
	b = Box{X1: math.Inf(1), Y1: math.Inf(1)}
	for y := range size {
		for x := range size {
			if plane[y*size+x] > 0.6 {
				b.X1, b.Y1 = min(b.X1, float64(x)), min(b.Y1, float64(y))
				b.X2, b.Y2 = max(b.X2, float64(x+1)), max(b.Y2, float64(y+1))
				found = true
			}
		}
	}
	return b, found
}

// Whatever is done to a photo, its boxes stay on what they mark.
func TestInput_boxesFollowTheirPixels(t *testing.T) {
	const size = 128
	policy := DefaultPolicy()
	policy.Brightness, policy.Tint = 0, 0
	r := rand.New(rand.NewPCG(1, 2))
	seen := 0
	for i := range 300 {
		w, h := 60+r.IntN(400), 60+r.IntN(400)
		x, y := r.Float64()*float64(w)*0.6, r.Float64()*float64(h)*0.6
		box := Box{3, math.Round(x), math.Round(y), math.Round(x + float64(w)*0.3), math.Round(y + float64(h)*0.3)}
		dst := make([]float32, 3*size*size)
		boxes := policy.Input(r, marked(w, h, box), nil, 0, size, dst)
		got, found := white(dst[:size*size], size)
		if len(boxes) == 0 {
			continue // moved out of the input
		}
		seen++
		if !found || boxes[0].Class != 3 {
			t.Fatalf("input %d: box %+v, but nothing white", i, boxes[0])
		}
		for k, d := range []float64{boxes[0].X1 - got.X1, boxes[0].Y1 - got.Y1, boxes[0].X2 - got.X2, boxes[0].Y2 - got.Y2} {
			if math.Abs(d) > 1.6 {
				t.Fatalf("input %d: box %+v, pixels %+v differ by %g at edge %d", i, boxes[0], got, d, k)
			}
		}
	}
	if seen < 200 {
		t.Errorf("only %d of 300 inputs kept their box", seen)
	}
}

func TestInput_mosaicShowsFourPhotos(t *testing.T) {
	const size = 96
	policy := Policy{MinZoom: 0.85, MaxZoom: 0.85}
	photos := make([]*Photo, 3)
	for i := range photos {
		photos[i] = marked(64, 64, Box{i + 1, 0, 0, 64, 64})
	}
	next := 0
	others := func() *Photo { next++; return photos[next-1] }
	dst := make([]float32, 3*size*size)
	boxes := policy.Input(rand.New(rand.NewPCG(1, 1)), marked(64, 64, Box{0, 0, 0, 64, 64}), others, 1, size, dst)
	var classes []int
	area := 0.0
	for _, b := range boxes {
		classes = append(classes, b.Class)
		area += (b.X2 - b.X1) * (b.Y2 - b.Y1)
	}
	if diff := cmp.Diff([]int{0, 1, 2, 3}, classes); diff != "" || math.Abs(area-size*size) > 1 {
		t.Errorf("boxes of classes %v cover %g of %d pixels, want four that cover all", classes, area, size*size)
	}
}

func TestInput_withoutChangeIsThePhoto(t *testing.T) {
	const size = 64
	r := rand.New(rand.NewPCG(3, 4))
	pix := make([]byte, 3*size*size)
	for i := range pix {
		pix[i] = byte(r.IntN(256))
	}
	dst := make([]float32, 3*size*size)
	box := Box{1, 3, 4, 30, 40}
	boxes := Policy{MinZoom: 1, MaxZoom: 1}.Input(r, NewPhoto(pix, size, size, []Box{box}, size), nil, 0, size, dst)
	for i := range size * size {
		for c := range 3 {
			if want := float32(pix[3*i+c]) / 255; math.Abs(float64(dst[c*size*size+i]-want)) > 1e-6 {
				t.Fatalf("pixel %d, colour %d is %g, want %g", i, c, dst[c*size*size+i], want)
			}
		}
	}
	if diff := cmp.Diff([]Box{box}, boxes); diff != "" {
		t.Errorf("boxes (-want +got):\n%s", diff)
	}
}

func TestInput_staysInRange(t *testing.T) {
	policy := DefaultPolicy()
	policy.Brightness, policy.Tint = 1, 1
	r := rand.New(rand.NewPCG(5, 6))
	const size = 64
	photo := marked(100, 70, Box{0, 10, 10, 60, 60})
	for range 50 {
		dst := make([]float32, 3*size*size)
		for i := range dst {
			dst[i] = -1 // every value must be written
		}
		policy.Input(r, photo, func() *Photo { return photo }, 0.5, size, dst)
		for i, v := range dst {
			if !(v >= 0 && v <= 1) {
				t.Fatalf("value %d is %g", i, v)
			}
		}
	}
}

func TestNewPhoto_shrinksWithItsBoxes(t *testing.T) {
	p := NewPhoto(make([]byte, 3*400*200), 400, 200, []Box{{2, 100, 50, 300, 150}}, 100)
	if p.W != 100 || p.H != 50 || len(p.Pix) != 3*100*50 {
		t.Errorf("photo of %dx%d, want 100x50", p.W, p.H)
	}
	if diff := cmp.Diff([]Box{{2, 25, 12.5, 75, 37.5}}, p.Boxes); diff != "" {
		t.Errorf("boxes (-want +got):\n%s", diff)
	}
}

func TestShrink_keepsTheMean(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	p := &Photo{Pix: make([]byte, 3*97*61), W: 97, H: 61}
	for i := range p.Pix {
		p.Pix[i] = byte(r.IntN(256))
	}
	q := shrink(p, 97, 61, 13, 7)
	mean := func(b []byte) float64 {
		sum := 0.0
		for _, v := range b {
			sum += float64(v)
		}
		return sum / float64(len(b))
	}
	if d := math.Abs(mean(p.Pix) - mean(q.Pix)); d > 2 {
		t.Errorf("means differ by %g", d)
	}
}

func TestValidate_reportsEveryFault(t *testing.T) {
	err := Policy{Mosaic: 2, FlipHorizontal: math.NaN(), MinZoom: 2, MaxZoom: 1}.Validate()
	for _, want := range []string{"mosaic", "flip_horizontal", "zoom"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not tell of %s", err, want)
		}
	}
	if err := DefaultPolicy().Validate(); err != nil {
		t.Error("the default policy is refused:", err)
	}
}

func BenchmarkInput(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	photo := marked(320, 240, Box{0, 10, 10, 200, 200})
	policy, dst := DefaultPolicy(), make([]float32, 3*256*256)
	for b.Loop() {
		policy.Input(r, photo, func() *Photo { return photo }, policy.Mosaic, 256, dst)
	}
}
