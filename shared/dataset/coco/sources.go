package coco

import (
	"io"

	"github.com/litterloop/litterloop/shared/errs"
)

// Source is an image and the web address of its photo in full size: its
// "flickr_url" or "coco_url", the first of them that is there; "" for none.
type Source struct {
	Image
	URL string
}

// Sources reads the images of labels and where their photos are to be had. Its
// errors are Read's.
func Sources(r io.Reader, limits Limits) ([]Source, error) {
	d := decoder{scanner: newScanner(r, limits.Bytes), limits: limits}
	var all []Source
	seen := false
	d.object(func(key string) {
		if key != "images" || d.peek() != '[' {
			d.skip()
			return
		}
		seen = true
		d.array(func() {
			if d.peek() != '{' {
				d.skip()
				return
			}
			all = append(all, d.source())
			if limits.Images > 0 && len(all) > limits.Images {
				d.tooMany("images", limits.Images)
			}
		})
	})
	if d.err == nil && !seen {
		return nil, errs.Permanentf("labels-not-coco", "labels are JSON, but no COCO labels: the object has no list \"images\"")
	}
	return all, d.err
}

func (d *decoder) source() Source {
	s := Source{Image: Image{ID: NoID}}
	other := ""
	d.object(func(key string) {
		switch key {
		case "flickr_url":
			s.URL = d.name()
		case "coco_url":
			other = d.name()
		default:
			d.imageField(&s.Image, key)
		}
	})
	if s.URL == "" {
		s.URL = other
	}
	return s
}
