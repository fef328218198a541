package compare

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/litterloop/litterloop/shared/dataset"
)

var version = dataset.Version{Classes: []string{"Can", "Cup"}}

func photo(path, md5 string, boxes ...dataset.Box) dataset.Photo {
	return dataset.Photo{Path: path, MD5: md5, Split: dataset.Train, Boxes: boxes}
}

// can and cup are boxes of a medium size at x.
func can(x float64) dataset.Box { return dataset.Box{Class: 0, X: x, Y: 10, W: 50, H: 50} }
func cup(x float64) dataset.Box { return dataset.Box{Class: 1, X: x, Y: 10, W: 50, H: 50} }

func TestVersions(t *testing.T) {
	type photos = []dataset.Photo
	const a, b = "images/train/b/a.jpg", "images/train/b/b.jpg"
	tests := []struct {
		name          string
		before, after photos
		photos        Photos
		boxes         Boxes
		changed       []Photo
	}{
		{"nothing", photos{photo(a, "1", can(10))}, photos{photo(a, "1", can(10.001))},
			Photos{Before: 1, After: 1}, Boxes{Before: 1, After: 1}, nil},
		{"a photo added", nil, photos{photo(a, "1", can(10))},
			Photos{After: 1, Added: 1}, Boxes{After: 1, Added: 1},
			[]Photo{{Photo: a, Changes: []Change{Added}, Boxes: Boxes{After: 1, Added: 1}}}},
		{"a photo removed", photos{photo(a, "1", can(10), cup(90))}, nil,
			Photos{Before: 1, Removed: 1}, Boxes{Before: 2, Removed: 2},
			[]Photo{{Photo: a, Changes: []Change{Removed}, Boxes: Boxes{Before: 2, Removed: 2}}}},
		{"a photo replaced", photos{photo(a, "1", can(10))}, photos{photo(a, "2", can(10))},
			Photos{Before: 1, After: 1, Replaced: 1}, Boxes{Before: 1, After: 1},
			[]Photo{{Photo: a, Changes: []Change{Replaced}, Boxes: Boxes{Before: 1, After: 1}}}},
		{"a photo renamed", photos{photo(a, "1", can(10))}, photos{photo(b, "1", can(10))},
			Photos{Before: 1, After: 1, Renamed: 1}, Boxes{Before: 1, After: 1},
			[]Photo{{Photo: b, Was: a, Changes: []Change{Renamed}, Boxes: Boxes{Before: 1, After: 1}}}},
		{"a photo in another split", photos{photo(a, "1")}, photos{{Path: "images/val/b/a.jpg", MD5: "1", Split: dataset.Val}},
			Photos{Before: 1, After: 1, Moved: 1}, Boxes{},
			[]Photo{{Photo: "images/val/b/a.jpg", Was: a, Changes: []Change{Moved}}}},
		{"a box moved a little", photos{photo(a, "1", can(10))}, photos{photo(a, "1", can(14))},
			Photos{Before: 1, After: 1, Relabelled: 1}, Boxes{Before: 1, After: 1, Adjusted: 1},
			[]Photo{{Photo: a, Changes: []Change{Relabelled}, Boxes: Boxes{Before: 1, After: 1, Adjusted: 1}}}},
		{"a box moved elsewhere", photos{photo(a, "1", can(10))}, photos{photo(a, "1", can(200))},
			Photos{Before: 1, After: 1, Relabelled: 1}, Boxes{Before: 1, After: 1, Added: 1, Removed: 1},
			[]Photo{{Photo: a, Changes: []Change{Relabelled}, Boxes: Boxes{Before: 1, After: 1, Added: 1, Removed: 1}}}},
		{"a box of another class", photos{photo(a, "1", can(10))}, photos{photo(a, "1", cup(10))},
			Photos{Before: 1, After: 1, Relabelled: 1}, Boxes{Before: 1, After: 1, Reclassified: 1},
			[]Photo{{Photo: a, Changes: []Change{Relabelled}, Boxes: Boxes{Before: 1, After: 1, Reclassified: 1}}}},
		{"the same class goes before a better overlap", photos{photo(a, "1", can(10), cup(10))}, photos{photo(a, "1", cup(12), can(11))},
			Photos{Before: 1, After: 1, Relabelled: 1}, Boxes{Before: 2, After: 2, Adjusted: 2},
			[]Photo{{Photo: a, Changes: []Change{Relabelled}, Boxes: Boxes{Before: 2, After: 2, Adjusted: 2}}}},
		{"boxes in another order", photos{photo(a, "1", can(10), cup(200))}, photos{photo(a, "1", cup(200), can(10))},
			Photos{Before: 1, After: 1}, Boxes{Before: 2, After: 2}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := Versions(version, version, tt.before, tt.after)
			if d := cmp.Diff(tt.photos, r.Photos); d != "" {
				t.Error("photos:", d)
			}
			if d := cmp.Diff(tt.boxes, r.Boxes); d != "" {
				t.Error("boxes:", d)
			}
			if d := cmp.Diff(tt.changed, r.Changed, cmpopts.EquateEmpty()); d != "" {
				t.Error("changed:", d)
			}
			if r.Same() != (len(tt.changed) == 0) {
				t.Errorf("same: %v", r.Same())
			}
		})
	}
}

func TestVersions_classesAndSizes(t *testing.T) {
	before := dataset.Version{Classes: []string{"Can", "Cup", "Bag"}}
	after := dataset.Version{Classes: []string{"Cup", "Can", "Lid"}} // other ids
	small, grown := dataset.Box{Class: 0, X: 300, Y: 10, W: 30, H: 30}, dataset.Box{Class: 1, X: 300, Y: 10, W: 33, H: 33}
	r := Versions(before, after,
		[]dataset.Photo{photo("images/train/a.jpg", "1", can(10), cup(100), dataset.Box{Class: 2, X: 500, Y: 0, W: 200, H: 100}, small)},
		[]dataset.Photo{photo("images/train/a.jpg", "1", cup(10), can(100), dataset.Box{Class: 2, X: 500, Y: 0, W: 200, H: 100}, grown)})
	want := []Class{
		{Name: "Cup", Before: 1, After: 1},
		{Name: "Can", Before: 2, After: 2, Adjusted: 1},
		{Name: "Lid", Change: Added, After: 1, Came: 1},
		{Name: "Bag", Change: Removed, Before: 1, Left: 1},
	}
	if d := cmp.Diff(want, r.Classes); d != "" {
		t.Error(d)
	}
	sizes := []Size{{Name: "small", Before: 1, Left: 1}, {Name: "medium", Before: 2, After: 3, Came: 1}, {Name: "large", Before: 1, After: 1}}
	if d := cmp.Diff(sizes, r.Sizes); d != "" {
		t.Error(d)
	}
}

// Whatever happens to versions, the counts add up, and the other way round they
// are mirrored.
func TestVersions_countsAddUp(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	random := func() (photos []dataset.Photo) {
		for i := range rng.IntN(8) {
			p := photo("images/train/"+string(rune('a'+rng.IntN(3)))+string(rune('a'+i))+".jpg", string(rune('0'+rng.IntN(10))))
			for range rng.IntN(6) {
				p.Boxes = append(p.Boxes, dataset.Box{Class: rng.IntN(2), X: float64(rng.IntN(60)), Y: float64(rng.IntN(60)), W: 1 + float64(rng.IntN(120)), H: 1 + float64(rng.IntN(120))})
			}
			photos = append(photos, p)
		}
		return photos
	}
	for range 2000 {
		before, after := random(), random()
		r, back := Versions(version, version, before, after), Versions(version, version, after, before)
		if r.Photos.Before-r.Photos.Removed+r.Photos.Added != r.Photos.After {
			t.Fatalf("photos %+v", r.Photos)
		}
		if r.Boxes.Before-r.Boxes.Removed+r.Boxes.Added != r.Boxes.After {
			t.Fatalf("boxes %+v", r.Boxes)
		}
		for _, c := range r.Classes {
			if c.Before-c.Removed-c.Left+c.Added+c.Came != c.After {
				t.Fatalf("class %+v", c)
			}
		}
		for _, s := range r.Sizes {
			if s.Before-s.Removed-s.Left+s.Added+s.Came != s.After {
				t.Fatalf("size %+v", s)
			}
		}
		if r.Photos.Added != back.Photos.Removed || r.Photos.Removed != back.Photos.Added {
			t.Fatalf("photos %+v, back %+v", r.Photos, back.Photos)
		}
		if same := Versions(version, version, before, slices.Clone(before)); !same.Same() {
			t.Fatalf("a version differs from itself: %+v", same)
		}
	}
}
