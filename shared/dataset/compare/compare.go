// Package compare tells how two data set versions differ, in the terms of
// detection: photos, boxes, classes, and how large objects are.
package compare

import (
	"cmp"
	"slices"
	"strings"

	"github.com/litterloop/litterloop/shared/dataset"
)

// Change is what became of a photo.
type Change string

// The changes of a photo. One that is in both versions may have several.
const (
	Added      Change = "added"
	Removed    Change = "removed"
	Replaced   Change = "replaced"   // another photo of the same name
	Renamed    Change = "renamed"    // the same photo under another name
	Relabelled Change = "relabelled" // its boxes differ
	Moved      Change = "moved"      // to the other split
)

// Boxes counts what became of boxes.
type Boxes struct {
	Before       int `json:"before"`
	After        int `json:"after"`
	Added        int `json:"added"`
	Removed      int `json:"removed"`
	Adjusted     int `json:"adjusted"`     // same class, same object, other edges
	Reclassified int `json:"reclassified"` // same object, another class
}

func (b *Boxes) add(o Boxes) {
	b.Before += o.Before
	b.After += o.After
	b.Added += o.Added
	b.Removed += o.Removed
	b.Adjusted += o.Adjusted
	b.Reclassified += o.Reclassified
}

// changed tells whether anything became of the boxes.
func (b Boxes) changed() bool { return b.Added+b.Removed+b.Adjusted+b.Reclassified > 0 }

// Photos counts photos by what became of them; one with several changes counts
// in each.
type Photos struct {
	Before     int `json:"before"`
	After      int `json:"after"`
	Added      int `json:"added"`
	Removed    int `json:"removed"`
	Replaced   int `json:"replaced"`
	Renamed    int `json:"renamed"`
	Relabelled int `json:"relabelled"`
	Moved      int `json:"moved"`
}

// Class is a class that either version has; of its Boxes, those that were
// reclassified count in the class they left (From) and the one they came to.
type Class struct {
	Name     string `json:"name"`
	Change   Change `json:"change,omitempty"` // Added or Removed
	Before   int    `json:"before"`
	After    int    `json:"after"`
	Added    int    `json:"added"`
	Removed  int    `json:"removed"`
	Adjusted int    `json:"adjusted"`
	Left     int    `json:"left"` // reclassified to others
	Came     int    `json:"came"` // reclassified from others
}

// Size is a bucket of COCO's: small below 32² pixels of the photo, medium below
// 96², large.
type Size struct {
	Name    string `json:"name"`
	Before  int    `json:"before"`
	After   int    `json:"after"`
	Added   int    `json:"added"`
	Removed int    `json:"removed"`
	Left    int    `json:"left"` // adjusted out of this size
	Came    int    `json:"came"` // adjusted into it
}

// Photo is a photo that differs.
type Photo struct {
	Photo   string   `json:"photo"` // path in the later version, or in the earlier when it was removed
	Was     string   `json:"was,omitempty"`
	Changes []Change `json:"changes"`
	Boxes   Boxes    `json:"boxes"`
}

// Report is how the version To differs from From.
type Report struct {
	From    string                           `json:"from"`
	To      string                           `json:"to"`
	Photos  Photos                           `json:"photos"`
	Boxes   Boxes                            `json:"boxes"`
	Classes []Class                          `json:"classes"` // in the order of the later version
	Sizes   []Size                           `json:"sizes"`
	Splits  map[dataset.Split]dataset.Counts `json:"splits"` // of the later version
	Before  map[dataset.Split]dataset.Counts `json:"splits_before"`
	Changed []Photo                          `json:"changed"` // by path
}

// Same tells that the versions do not differ.
func (r Report) Same() bool {
	return len(r.Changed) == 0 && !slices.ContainsFunc(r.Classes, func(c Class) bool { return c.Change != "" })
}

// Versions compares two versions and their photos.
func Versions(from, to dataset.Version, before, after []dataset.Photo) Report {
	r := Report{From: from.ID, To: to.ID, Splits: to.Splits, Before: from.Splits, Changed: []Photo{}}
	r.Photos.Before, r.Photos.After = len(before), len(after)
	c := newTally(from.Classes, to.Classes)
	old := map[string]dataset.Photo{}
	for _, p := range before {
		old[key(p)] = p
	}
	var added []dataset.Photo
	for _, p := range after {
		was, ok := old[key(p)]
		if !ok {
			added = append(added, p)
			continue
		}
		delete(old, key(p))
		r.pair(c, was, p)
	}
	// What is left has no partner of its name; the same content is the same photo.
	byContent := map[string]dataset.Photo{}
	for _, p := range old {
		if q, ok := byContent[p.MD5]; !ok || key(p) < key(q) {
			byContent[p.MD5] = p
		}
	}
	for _, p := range added {
		if was, ok := byContent[p.MD5]; ok {
			delete(byContent, p.MD5)
			delete(old, key(was))
			r.pair(c, was, p)
			continue
		}
		r.Photos.Added++
		r.note(Photo{Photo: p.Path, Changes: []Change{Added}, Boxes: c.match(nil, p.Boxes)})
	}
	for _, p := range old {
		r.Photos.Removed++
		r.note(Photo{Photo: p.Path, Changes: []Change{Removed}, Boxes: c.match(p.Boxes, nil)})
	}
	slices.SortFunc(r.Changed, func(x, y Photo) int {
		return cmp.Or(strings.Compare(x.Photo, y.Photo), cmp.Compare(len(x.Changes), len(y.Changes)))
	})
	r.Classes, r.Sizes = c.classes, c.sizes
	return r
}

// key is a photo's name whatever its split.
func key(p dataset.Photo) string {
	_, name, _ := strings.Cut(strings.TrimPrefix(p.Path, "images/"), "/")
	return name
}

// pair adds a photo that both versions have.
func (r *Report) pair(c *tally, was, is dataset.Photo) {
	p := Photo{Photo: is.Path, Boxes: c.match(was.Boxes, is.Boxes)}
	mark := func(when bool, count *int, change Change) {
		if when {
			*count++
			p.Changes = append(p.Changes, change)
		}
	}
	mark(was.MD5 != is.MD5, &r.Photos.Replaced, Replaced)
	mark(key(was) != key(is), &r.Photos.Renamed, Renamed)
	mark(p.Boxes.changed(), &r.Photos.Relabelled, Relabelled)
	mark(was.Split != is.Split, &r.Photos.Moved, Moved)
	if was.Path != is.Path {
		p.Was = was.Path
	}
	r.note(p)
}

// note counts a photo's boxes, and keeps the photo when it differs.
func (r *Report) note(p Photo) {
	r.Boxes.add(p.Boxes)
	if len(p.Changes) > 0 {
		r.Changed = append(r.Changed, p)
	}
}
