package dataset

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/litterloop/litterloop/shared/dataset/coco"
	"github.com/litterloop/litterloop/shared/errs"
)

// Labels are one batch's labels in a form of our own: what they name is clean,
// what made no sense is left out and found, and boxes are as they were drawn,
// not yet clipped, because the photo's own size is what counts.
type Labels struct {
	Classes  []string        `json:"classes"` // in the labels' order
	Photos   []LabelledPhoto `json:"photos"`  // in name order
	Findings []Finding       `json:"findings,omitempty"`
	// ClassMap was applied to them, when there was one.
	ClassMap *ClassMap `json:"class_map,omitempty"`
	// Roots are directories, with a slash at their end, that photos may lie under
	// although their names leave that out.
	Roots []string `json:"roots,omitempty"`
}

// LabelledPhoto is a photo as its labels tell of it. Class of a box is an index
// into Labels.Classes.
type LabelledPhoto struct {
	Name   string `json:"name"` // below the batch
	Width  int    `json:"width,omitempty"`
	Height int    `json:"height,omitempty"`
	Boxes  []Box  `json:"boxes,omitempty"`
	// Shares: boxes are in shares of the displayed photo's width and height.
	Shares bool `json:"shares,omitempty"`
	// Object is the file that holds the photo, below the batch, where it has
	// another name.
	Object string `json:"object,omitempty"`
}

// FromCOCO sorts out COCO labels. Labels without any usable photo are a
// permanent error, "labels-empty".
func FromCOCO(f *coco.File) (Labels, error) {
	var l Labels
	var r Report
	var classOf map[coco.ID]int
	l.Classes, classOf = Classes(f.Categories, &r)
	photoOf := photos(f.Images, &l, &r)
	if len(l.Photos) == 0 {
		return l, errs.Permanentf("labels-empty", "the labels name no photo that can be used: %d images in them", len(f.Images))
	}
	// Counting first gives every photo's boxes one allocation of the right size.
	counts := make([]int, len(l.Photos))
	for _, a := range f.Annotations {
		if p, ok := photoOf[a.Image]; ok {
			counts[p]++
		}
	}
	all := make([]Box, 0, len(f.Annotations))
	for p, n := range counts {
		l.Photos[p].Boxes, all = all[:0:n], all[:n:cap(all)][n:]
	}
	for _, a := range f.Annotations {
		p, hasPhoto := photoOf[a.Image]
		class, hasClass := classOf[a.Category]
		switch code := AnnotationFault(&a, hasPhoto, hasClass); code {
		case "":
			l.Photos[p].Boxes = append(l.Photos[p].Boxes, Box{Class: class, X: a.Box[0], Y: a.Box[1], W: a.Box[2], H: a.Box[3]})
		default:
			r.Add(code, fmt.Sprintf("annotation %v of image %v", a.ID, a.Image))
		}
	}
	duplicateIDs(f.Annotations, &r)
	slices.SortStableFunc(l.Photos, func(x, y LabelledPhoto) int { return strings.Compare(x.Name, y.Name) })
	l.Findings = r.Findings()
	return l, nil
}

// AnnotationFault is the reason an annotation gives no box, "" when it gives one.
func AnnotationFault(a *coco.Annotation, hasPhoto, hasClass bool) errs.Code {
	switch {
	case !hasPhoto:
		return ImageUnknown
	case a.Crowd:
		return BoxCrowd
	case !hasClass:
		return CategoryUnknown
	case !a.HasBox:
		return BoxMissing
	}
	for _, v := range a.Box {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return BoxNotFinite
		}
	}
	if a.Box[2] <= 0 || a.Box[3] <= 0 {
		return BoxEmpty
	}
	return ""
}

// Classes are the classes of categories, and each category's index among them.
func Classes(categories []coco.Category, r *Report) (names []string, of map[coco.ID]int) {
	of = map[coco.ID]int{}
	byName := map[string]int{}
	for _, c := range categories {
		if _, ok := of[c.ID]; ok {
			r.Add(CategoryDuplicate, fmt.Sprintf("id %v", c.ID))
			continue
		}
		name := strings.TrimSpace(c.Name)
		if name == "" {
			name = fmt.Sprintf("class %v", c.ID)
			r.Add(CategoryNameless, fmt.Sprintf("id %v", c.ID))
		}
		index, ok := byName[name]
		if ok {
			r.Add(CategoryDuplicate, fmt.Sprintf("name %q", name))
		} else {
			index = len(names)
			byName[name] = index
			names = append(names, name)
		}
		of[c.ID] = index
	}
	return names, of
}

// photos fills l.Photos and returns each image's index among them.
func photos(images []coco.Image, l *Labels, r *Report) map[coco.ID]int {
	of := make(map[coco.ID]int, len(images))
	byName := make(map[string]int, len(images))
	l.Photos = make([]LabelledPhoto, 0, len(images))
	for _, im := range images {
		if im.FileName == "" {
			r.Add(NameMissing, fmt.Sprintf("image %v", im.ID))
			continue
		}
		name, ok := CleanName(im.FileName)
		if !ok {
			r.Add(NameUnsafe, fmt.Sprintf("%.200q", im.FileName))
			continue
		}
		index, ok := byName[name]
		if ok {
			r.Add(NameDuplicate, name)
		} else {
			index = len(l.Photos)
			byName[name] = index
			l.Photos = append(l.Photos, LabelledPhoto{Name: name, Width: im.Width, Height: im.Height})
		}
		if _, ok := of[im.ID]; ok {
			r.Add(ImageDuplicate, fmt.Sprintf("image %v", im.ID))
		} else {
			of[im.ID] = index
		}
	}
	return of
}

// duplicateIDs reports annotation ids that occur again.
func duplicateIDs(annotations []coco.Annotation, r *Report) {
	ids := make([]coco.ID, 0, len(annotations))
	for _, a := range annotations {
		if a.ID != coco.NoID {
			ids = append(ids, a.ID)
		}
	}
	slices.Sort(ids)
	for i := 1; i < len(ids); i++ {
		if ids[i] == ids[i-1] {
			r.Add(AnnotationDuplicate, fmt.Sprintf("annotation %v", ids[i]))
		}
	}
}
