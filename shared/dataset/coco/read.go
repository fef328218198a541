package coco

import (
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math"
	"strconv"

	"github.com/litterloop/litterloop/shared/errs"
)

// Read reads labels to the end of r. Bad input is a permanent error:
// "labels-not-json" with the line, "labels-not-coco" when the JSON is something
// else, "labels-too-large" beyond the limits. An error of r itself is not.
func Read(r io.Reader, limits Limits) (*File, error) {
	var f File
	err := Walk(r, limits, Visitor{
		Image:      func(im Image) { f.Images = append(f.Images, im) },
		Annotation: func(a *Annotation) { f.Annotations = append(f.Annotations, *a) },
		Category:   func(c Category) { f.Categories = append(f.Categories, c) },
	})
	if err != nil {
		return nil, err
	}
	return &f, nil
}

// Visitor is told of every record as it is read, in the file's order; what is
// nil is passed over. An annotation is valid during the call alone.
type Visitor struct {
	Image      func(Image)
	Annotation func(*Annotation)
	Category   func(Category)
}

// Walk reads as Read does and keeps nothing.
func Walk(r io.Reader, limits Limits, v Visitor) error {
	d := decoder{scanner: newScanner(r, limits.Bytes), limits: limits, visit: v}
	var seenImages, seenAnnotations bool
	if c := d.peek(); d.err == nil && d.utf16 {
		d.fail("the file is UTF-16: save it as UTF-8")
	} else if c != '{' && c != '[' && d.err == nil {
		d.fail("%s where an object is needed", describe(c))
	} else if c == '[' {
		return errs.Permanentf("labels-not-coco", "labels are a JSON array: COCO labels are an object with \"images\", \"annotations\" and \"categories\"")
	}
	d.object(func(key string) {
		if d.peek() != '[' {
			d.skip()
			return
		}
		switch key {
		case "images":
			seenImages = true
			d.records(v.Image != nil, d.image)
		case "annotations":
			seenAnnotations = true
			d.records(v.Annotation != nil, d.annotation)
		case "categories":
			d.records(v.Category != nil, d.category)
		default:
			d.skip()
		}
	})
	if d.err == nil && d.peek() != 0 {
		d.fail("more follows the end of the object")
	}
	if d.err != nil {
		return d.err
	}
	if !seenImages || !seenAnnotations {
		return errs.Permanentf("labels-not-coco", "labels are JSON, but no COCO labels: the object needs the lists \"images\" and \"annotations\"")
	}
	return nil
}

type decoder struct {
	*scanner
	limits Limits
	visit  Visitor

	images, annotations, categories int
	now                             Annotation // that is being read
}

// records reads a list, or passes over it.
func (d *decoder) records(wanted bool, record func()) {
	if !wanted {
		d.skip()
		return
	}
	d.array(record)
}

func (d *decoder) image() {
	if d.peek() != '{' {
		d.skip()
		return
	}
	im := Image{ID: NoID}
	d.object(func(key string) { d.imageField(&im, key) })
	if d.images++; d.limits.Images > 0 && d.images > d.limits.Images {
		d.tooMany("images", d.limits.Images)
		return
	}
	if d.err == nil {
		d.visit.Image(im)
	}
}

func (d *decoder) imageField(im *Image, key string) {
	switch key {
	case "id":
		im.ID = d.id()
	case "file_name":
		im.FileName = d.name()
	case "width":
		im.Width = d.size()
	case "height":
		im.Height = d.size()
	default:
		d.skip()
	}
}

func (d *decoder) annotation() {
	if d.peek() != '{' {
		d.skip()
		return
	}
	a := &d.now
	*a = Annotation{ID: NoID, Image: NoID, Category: NoID}
	var outline bool
	d.object(func(key string) {
		switch key {
		case "id":
			a.ID = d.id()
		case "image_id":
			a.Image = d.id()
		case "category_id":
			a.Category = d.id()
		case "bbox":
			a.Box, a.HasBox = d.box()
		case "iscrowd":
			switch d.peek() {
			case 't', 'f':
				a.Crowd = string(d.word()) == "true"
			default:
				f, _ := d.float()
				a.Crowd = f != 0
			}
		case "segmentation":
			if a.HasBox || d.peek() != '[' {
				d.skip()
				return
			}
			// The box may follow, or be missing: keep the polygons until known.
			outline, d.keep, d.kept = true, d.keep[:0], true
			d.skip()
			d.kept = false
		default:
			d.skip()
		}
	})
	if !a.HasBox && outline {
		a.Box, a.HasBox = extent(d.keep)
	}
	if d.annotations++; d.limits.Annotations > 0 && d.annotations > d.limits.Annotations {
		d.tooMany("annotations", d.limits.Annotations)
		return
	}
	if d.err == nil {
		d.visit.Annotation(a)
	}
}

func (d *decoder) category() {
	if d.peek() != '{' {
		d.skip()
		return
	}
	c := Category{ID: NoID}
	d.object(func(key string) {
		switch key {
		case "id":
			c.ID = d.id()
		case "name":
			c.Name = d.name()
		default:
			d.skip()
		}
	})
	if d.categories++; d.categories > maxCategories {
		d.tooMany("categories", maxCategories)
		return
	}
	if d.err == nil {
		d.visit.Category(c)
	}
}

func (d *decoder) tooMany(what string, limit int) {
	if d.err == nil {
		d.err = errs.Permanentf("labels-too-large", "labels hold more than %d %s: drop them as several batches", limit, what)
	}
}

// name reads a string; any other value is passed over and is no name.
func (d *decoder) name() string {
	if d.peek() != '"' {
		d.skip()
		return ""
	}
	text := d.str()
	return string(text[:min(len(text), maxName)])
}

// size reads a width or height; 0 for whatever is none.
func (d *decoder) size() int {
	if d.peek() == '"' {
		n, _ := strconv.Atoi(string(d.str()))
		return max(n, 0)
	}
	f, ok := d.float()
	if !ok || !(f >= 1 && f < 1<<31) {
		return 0
	}
	return int(f)
}

func (d *decoder) id() ID {
	if d.peek() == '"' {
		text := d.str()
		if n, err := strconv.ParseInt(string(text), 10, 62); err == nil {
			return ID(n)
		}
		if len(text) > maxID {
			return NoID
		}
		return textID(text)
	}
	f, ok := d.float()
	if !ok || f != math.Trunc(f) || math.Abs(f) >= 1<<53 {
		return NoID
	}
	return ID(f)
}

// textID is a hash, so that millions of ids take no memory and have the same
// number in every pass over the labels. Of ten million ids two have the same
// with a probability of one in a hundred thousand.
func textID(text []byte) ID {
	h := fnv.New64a()
	h.Write(text)
	v := h.Sum64()
	v = (v ^ v>>33) * 0xff51afd7ed558ccd // FNV leaves the upper bits of short texts alike
	v = (v ^ v>>33) * 0xc4ceb9fe1a85ec53
	return NoID + 1 + ID((v^v>>33)>>2)
}

// box reads an array of four numbers; ok is false for anything else.
func (d *decoder) box() (box [4]float64, ok bool) {
	if d.peek() != '[' {
		d.skip()
		return box, false
	}
	n := 0
	ok = true
	d.array(func() {
		f, isNumber := d.float()
		ok = ok && isNumber
		if n < 4 {
			box[n] = f
		}
		n++
	})
	return box, ok && n == 4
}

// extent is the box around the polygons of a "segmentation", [[x, y, x, y …] …].
func extent(polygons []byte) (box [4]float64, ok bool) {
	low := [2]float64{math.Inf(1), math.Inf(1)}
	high := [2]float64{math.Inf(-1), math.Inf(-1)}
	points, axis, start := 0, 0, -1
	for i, c := range polygons {
		if wordByte[c] {
			if start < 0 {
				start = i
			}
			continue
		}
		if start >= 0 {
			f, err := strconv.ParseFloat(string(polygons[start:i]), 64)
			if err != nil && !errors.Is(err, strconv.ErrRange) {
				return box, false
			}
			low[axis], high[axis] = min(low[axis], f), max(high[axis], f)
			axis, start = 1-axis, -1
			points++
		}
		if c == '[' {
			axis = 0
		}
	}
	return [4]float64{low[0], low[1], high[0] - low[0], high[1] - low[1]}, points >= 6
}

// String is the id as a person would look for it.
func (id ID) String() string {
	if id == NoID {
		return "(none)"
	}
	return fmt.Sprint(int64(id))
}
