package drawing

import (
	"bytes"
	"image/jpeg"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSet_sameSeedSamePhotos(t *testing.T) {
	a, err := Set(7, 3, Day)
	if err != nil {
		t.Fatal(err)
	}
	b, _ := Set(7, 5, Day)
	if d := cmp.Diff(a, b[:3]); d != "" {
		t.Error("the photos of a seed depend on how many are drawn")
	}
	c, _ := Set(8, 3, Day)
	if bytes.Equal(a[0].JPEG, c[0].JPEG) {
		t.Error("two seeds draw the same photo")
	}
}

func TestSet_boxesLieInThePhoto(t *testing.T) {
	for _, kind := range []Kind{Day, Dusk} {
		photos, err := Set(1, 40, kind)
		if err != nil {
			t.Fatal(err)
		}
		seen := make([]int, len(Classes))
		for _, p := range photos {
			for _, b := range p.Boxes {
				seen[b.Class]++
				if b.X1 < 0 || b.Y1 < 0 || b.X2 > Width || b.Y2 > Height || b.X2-b.X1 < 3 || b.Y2-b.Y1 < 3 {
					t.Errorf("%s: box %+v", p.Name, b)
				}
			}
		}
		for c, n := range seen {
			if n == 0 {
				t.Errorf("kind %d: no %s in 40 photos", kind, Classes[c])
			}
		}
	}
}

func TestDarken_isDarkerAndSmoother(t *testing.T) {
	p, err := Draw(1, 0, Day)
	if err != nil {
		t.Fatal(err)
	}
	im, err := jpeg.Decode(bytes.NewReader(p.JPEG))
	if err != nil {
		t.Fatal(err)
	}
	luma := func(pix []uint8) (mean, edges float64) {
		for i := 4; i < len(pix); i += 4 {
			mean += float64(pix[i+1])
			d := float64(pix[i+1]) - float64(pix[i-3])
			edges += d * d
		}
		return
	}
	c := &canvas{make([]uint8, 3*Width*Height)}
	for y := range Height {
		for x := range Width {
			r, g, b, _ := im.At(x, y).RGBA()
			copy(c.pix[3*(y*Width+x):], []uint8{uint8(r >> 8), uint8(g >> 8), uint8(b >> 8)})
		}
	}
	m0, e0 := luma(c.image().Pix)
	m1, e1 := luma(Darken(im).Pix)
	if m1 > m0*0.5 || e1 > e0*0.2 {
		t.Errorf("mean %.0f to %.0f, edges %.0f to %.0f", m0, m1, e0, e1)
	}
}

func BenchmarkDraw(b *testing.B) {
	for i := range b.N {
		if _, err := Draw(1, i, Day); err != nil {
			b.Fatal(err)
		}
	}
}
