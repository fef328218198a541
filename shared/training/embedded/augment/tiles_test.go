package augment

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// randomBoxes are n boxes inside w x h pixels, most of them small; Class is
// their number.
func randomBoxes(r *rand.Rand, w, h, n int) []Box {
	boxes := make([]Box, n)
	for i := range boxes {
		side := float64(max(w, h)) * 0.2 * r.Float64()
		x, y := r.Float64()*float64(w), r.Float64()*float64(h)
		boxes[i] = Box{i, x, y, min(x+side+2, float64(w)), min(y+side+2, float64(h))}
	}
	return slices.DeleteFunc(boxes, func(b Box) bool { return b.X2-b.X1 < 1 || b.Y2-b.Y1 < 1 })
}

// Whatever is cut out, the boxes kept lie in the tile and, taken back, are those
// of the photo where the tile shows them; those left out are hardly visible.
func TestCutTiles_boxesAreThePhotos(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	kept := 0
	for i := range 200 {
		w, h, size := 1+r.IntN(600), 1+r.IntN(600), 64+r.IntN(200)
		boxes := randomBoxes(r, w, h, 12)
		p := NewPhoto(make([]byte, 3*w*h), w, h, boxes, 96)
		p.CutTiles(make([]byte, 3*w*h), w, h, boxes, size)
		all := windows(w, h, boxes)
		if len(p.tiles) != len(all) || len(all) > maxTiles {
			t.Fatalf("photo %d: %d tiles of %d windows", i, len(p.tiles), len(all))
		}
		for k, tile := range p.tiles {
			a := all[k]
			if a.x0 < 0 || a.y0 < 0 || a.x1 > w || a.y1 > h || max(tile.W, tile.H) > size {
				t.Fatalf("photo %d of %dx%d: window %+v, a tile of %dx%d", i, w, h, a, tile.W, tile.H)
			}
			kx, ky := float64(a.x1-a.x0)/float64(tile.W), float64(a.y1-a.y0)/float64(tile.H)
			in := map[int]Box{}
			for _, b := range tile.Boxes {
				in[b.Class] = b
			}
			for _, b := range boxes {
				want := Box{b.Class, max(b.X1, float64(a.x0)), max(b.Y1, float64(a.y0)), min(b.X2, float64(a.x1)), min(b.Y2, float64(a.y1))}
				width, height := max(want.X2-want.X1, 0), max(want.Y2-want.Y1, 0)
				got, ok := in[b.Class]
				if !ok {
					if width/kx > minSide+1e-9 && height/ky > minSide+1e-9 && width*height > (minVisible+1e-9)*(b.X2-b.X1)*(b.Y2-b.Y1) {
						t.Fatalf("photo %d, window %+v: box %+v is left out", i, a, b)
					}
					continue
				}
				kept++
				if got.X1 < 0 || got.Y1 < 0 || got.X2 > float64(tile.W) || got.Y2 > float64(tile.H) {
					t.Fatalf("photo %d: box %+v leaves the tile of %dx%d", i, got, tile.W, tile.H)
				}
				for _, d := range []float64{got.X1*kx + float64(a.x0) - want.X1, got.Y1*ky + float64(a.y0) - want.Y1, got.X2*kx + float64(a.x0) - want.X2, got.Y2*ky + float64(a.y0) - want.Y2} {
					if math.Abs(d) > 1e-6 {
						t.Fatalf("photo %d, window %+v: box %+v taken back differs from %+v by %g", i, a, got, want, d)
					}
				}
			}
		}
	}
	if kept < 300 {
		t.Errorf("only %d boxes were kept", kept)
	}
}

// The pixels of a tile are where its boxes say.
func TestCutTiles_pixelsFollowTheBoxes(t *testing.T) {
	const side, size = 600, 128
	box := Box{4, 400, 90, 440, 130}
	whole := marked(side, side, box)
	p := NewPhoto(whole.Pix, side, side, []Box{box}, size)
	p.CutTiles(whole.Pix, side, side, []Box{box}, size)
	if len(p.tiles) != 1 {
		t.Fatalf("%d tiles, want one", len(p.tiles))
	}
	tile := p.tiles[0]
	plane := make([]float32, tile.W*tile.H)
	for i := range plane {
		plane[i] = float32(tile.Pix[3*i]) / 255
	}
	got, _ := white(plane, tile.W)
	for _, d := range []float64{got.X1 - tile.Boxes[0].X1, got.Y1 - tile.Boxes[0].Y1, got.X2 - tile.Boxes[0].X2, got.Y2 - tile.Boxes[0].Y2} {
		if math.Abs(d) > 1 {
			t.Errorf("box %+v, pixels %+v", tile.Boxes[0], got)
		}
	}
	if wide := tile.Boxes[0].X2 - tile.Boxes[0].X1; wide < 2.9*float64(40*size/side) {
		t.Errorf("the object is %g pixels wide in the tile", wide)
	}
	if p.Bytes() <= tile.Bytes() || tile.Bytes() < len(tile.Pix) {
		t.Errorf("the photo takes %d bytes, its tile %d", p.Bytes(), tile.Bytes())
	}
}

func TestWindows(t *testing.T) {
	small := func(x, y float64) Box { return Box{0, x, y, x + 20, y + 20} }
	for _, c := range []struct {
		name  string
		boxes []Box
		want  []area
	}{
		{"no box", nil, nil},
		{"a large one", []Box{{0, 100, 100, 250, 160}}, nil},
		{"in the corner", []Box{small(0, 0)}, []area{{0, 0, 300, 300}}},
		{"two beside each other", []Box{small(400, 300), small(450, 340)}, []area{{260, 160, 560, 460}}},
		{"five far apart", []Box{small(0, 0), small(880, 0), small(0, 580), small(880, 580), small(450, 300)}, []area{{0, 0, 300, 300}, {600, 0, 900, 300}, {0, 300, 300, 600}}},
		{"outside of the photo", []Box{small(5000, 5000)}, []area{{600, 300, 900, 600}}},
	} {
		if diff := cmp.Diff(c.want, windows(900, 600, c.boxes), cmp.AllowUnexported(area{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

func TestInput_showsTilesAsOftenAsThePolicySays(t *testing.T) {
	const side, size = 300, 64
	box := Box{0, 140, 140, 160, 160}
	photo := marked(side, side, box)
	photo.CutTiles(make([]byte, 3*side*side), side, side, []Box{box}, size)
	policy := Policy{MinZoom: 1, MaxZoom: 1}
	r, dst := rand.New(rand.NewPCG(3, 4)), make([]float32, 3*size*size)
	for _, share := range []float64{0, 0.25, 1} {
		policy.Tiles = share
		shown := 0
		for range 400 {
			if b := policy.Input(r, photo, nil, 0, size, dst)[0]; b.X2-b.X1 > 8 {
				shown++
			}
		}
		if got := float64(shown) / 400; math.Abs(got-share) > 0.08 {
			t.Errorf("share %g: %g of the inputs are tiles", share, got)
		}
	}
}
