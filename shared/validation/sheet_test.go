package validation

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/litterloop/litterloop/shared/dataset"
)

// Photos come by the gravest finding first, and no content twice; boxes come
// rarest class first, of each the smallest and the most elongated first.
func TestContactSheets_worstFirst(t *testing.T) {
	v := dataset.Version{Classes: []string{"Can", "Cup", "Bag"}}
	photo := func(name, md5 string, boxes ...dataset.Box) dataset.Photo {
		return dataset.Photo{Path: name, MD5: md5, Width: 100, Height: 100, Boxes: boxes}
	}
	photos := []dataset.Photo{
		photo("a", "1", dataset.Box{Class: 0, W: 30, H: 30}, dataset.Box{Class: 0, W: 90, H: 10}),
		photo("b", "2", dataset.Box{Class: 0, W: 5, H: 5}, dataset.Box{Class: 1, W: 20, H: 20}),
		photo("c", "3", dataset.Box{Class: 0, W: 40, H: 40}),
		photo("d", "3", dataset.Box{Class: 0, W: 40, H: 40}),
	}
	r := Result{Findings: []Finding{
		{Code: SplitLeak, Severity: Block, Examples: []Example{{Photo: "d"}}},
		{Code: TinyBox, Severity: Warn, Examples: []Example{{Photo: "b", Box: &photos[1].Boxes[0]}, {Photo: "c"}}},
	}}
	found, taken := byFinding(photos, r, 9)
	var got []string
	for _, p := range found {
		got = append(got, fmt.Sprint(p.photo.Path, " ", p.finding.Code))
	}
	for _, p := range sample(photos, taken, 9) {
		got = append(got, p.photo.Path)
	}
	policy := DefaultPolicy()
	policy.ClassSheet = 4
	for _, p := range byClass(v, photos, policy) {
		got = append(got, fmt.Sprint(v.Classes[p.box.Class], " ", p.box.W, "x", p.box.H))
	}
	want := []string{"d photo-in-both-splits", "b box-tiny", "a", "Cup 20x20", "Can 5x5", "Can 90x10"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// What is cut out lies within the photo, whatever the box.
func TestSurroundings(t *testing.T) {
	for _, b := range []dataset.Box{{W: 1, H: 1}, {X: 99, Y: 79, W: 1, H: 1}, {W: 100, H: 80}, {X: 50, W: 2, H: 80}, {X: 30, Y: 30, W: 60, H: 3}} {
		p := pick{photo: dataset.Photo{Width: 100, Height: 80}, box: &b, cut: true}
		x, y, w, h := p.surroundings()
		if x < 0 || y < 0 || w < 1 || h < 1 || x+w > 100 || y+h > 80 || b.X < float64(x) || b.Y < float64(y) || b.X+b.W > float64(x+w) || b.Y+b.H > float64(y+h) {
			t.Errorf("around %+v: %d %d %d %d", b, x, y, w, h)
		}
	}
}
