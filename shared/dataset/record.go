package dataset

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/errs"
)

// Seen is what was found out about a photo's bytes. Fault is set for a photo
// that cannot be used; then only MD5 and Size hold.
type Seen struct {
	Measured
	Size        int64
	Orientation int
	Fault       error // permanent
}

// Record is a batch as converted: the labels and what its photos turned out to
// be, settled. Its hash names it, so that the same batch gives one record.
type Record struct {
	Schema   int           `json:"schema"`
	Batch    string        `json:"batch"`
	Classes  []string      `json:"classes"`
	Photos   []RecordPhoto `json:"photos"` // in name order
	Findings []Finding     `json:"findings,omitempty"`
	ClassMap *ClassMap     `json:"class_map,omitempty"` // that was applied
	Roots    []string      `json:"roots,omitempty"`     // as the labels'
}

// RecordPhoto is a photo of a record. One with a Fault is in no version.
type RecordPhoto struct {
	Name        string    `json:"name"` // below the batch
	File        string    `json:"file"` // below the batch's folder in a version
	MD5         string    `json:"md5"`
	Size        int64     `json:"size"`
	Width       int       `json:"width,omitempty"`
	Height      int       `json:"height,omitempty"`
	Orientation int       `json:"orientation,omitempty"`
	Boxes       []Box     `json:"boxes,omitempty"` // Class is an index into Record.Classes
	Fault       errs.Code `json:"fault,omitempty"`
	Object      string    `json:"object,omitempty"` // as LabelledPhoto.Object
}

// NewRecord settles a batch. seen tells of every photo that the labels name, by
// name. Files that they do not name are no part of it: see WithExtra.
func NewRecord(batch string, l Labels, seen map[string]Seen) Record {
	var r Report
	r.Merge(l.Findings)
	rec := Record{Schema: 1, Batch: batch, Classes: l.Classes, ClassMap: l.ClassMap, Roots: l.Roots, Photos: make([]RecordPhoto, len(l.Photos))}
	names := make([]string, len(l.Photos))
	for i, p := range l.Photos {
		names[i] = p.Name
	}
	files := Distinct(names)
	kept := keepers(l.Photos, seen)
	for i, p := range l.Photos {
		s := seen[p.Name]
		out := RecordPhoto{Name: p.Name, Object: p.Object, File: files[i], MD5: s.MD5, Size: s.Size}
		switch {
		case s.Fault != nil:
			code, _ := errs.Reason(s.Fault)
			out.Fault = cmp.Or(code, photoUnreadable)
			r.AddAs(Quarantined, out.Fault, photoFault(out.Fault), fmt.Sprintf("%s: %v", p.Name, s.Fault))
		case kept[s.MD5] != i:
			out.Fault = PhotoDuplicate
			r.Add(PhotoDuplicate, fmt.Sprintf("%s is %s", p.Name, l.Photos[kept[s.MD5]].Name))
		default:
			out.Width, out.Height, out.Orientation = s.Width, s.Height, s.Orientation
			if p.Width > 0 && p.Height > 0 && !(p.Width == s.Width && p.Height == s.Height) && !(p.Width == s.Height && p.Height == s.Width) {
				r.Add(SizeDiffers, fmt.Sprintf("%s: declared %dx%d, is %dx%d", p.Name, p.Width, p.Height, s.Width, s.Height))
			}
			if p.Width == s.Height && p.Height == s.Width && s.Width != s.Height {
				r.Add(OrientationSuspect, fmt.Sprintf("%s: declared %dx%d, is %dx%d when turned as EXIF's orientation %d says", p.Name, p.Width, p.Height, s.Width, s.Height, s.Orientation))
			}
			out.Boxes = Clip(p.pixels(s.Width, s.Height), s.Width, s.Height, p.Name, &r)
			if Renamed(out.Name, out.File) {
				r.Add(NameChanged, fmt.Sprintf("%s: %s", out.Name, out.File))
			}
		}
		rec.Photos[i] = out
	}
	rec.Findings = r.Findings()
	return rec
}

// pixels are a photo's boxes in pixels of its displayed size.
func (p LabelledPhoto) pixels(w, h int) []Box {
	if !p.Shares {
		return p.Boxes
	}
	boxes := make([]Box, len(p.Boxes))
	for i, b := range p.Boxes {
		b = Box{Class: b.Class, X: b.X * float64(w), Y: b.Y * float64(h), W: b.W * float64(w), H: b.H * float64(h)}
		if b.X < 0 && b.X > -edge { // shares are rounded
			b.X, b.W = 0, b.W+b.X
		}
		if b.Y < 0 && b.Y > -edge {
			b.Y, b.H = 0, b.H+b.Y
		}
		boxes[i] = b
	}
	return boxes
}

// RecordNames is what a record says of which photos it holds, without their
// boxes, which are most of it.
type RecordNames struct {
	Photos []RecordName `json:"photos"`
	Roots  []string     `json:"roots,omitempty"`
}

// RecordName is a photo of RecordNames; its fields are RecordPhoto's.
type RecordName struct {
	Name   string `json:"name"`
	MD5    string `json:"md5"`
	Object string `json:"object,omitempty"`
}

// LoadNames reads the names of the record that an object holds.
func LoadNames(ctx context.Context, b blob.Bucket, object string) (n RecordNames, err error) {
	_, err = blob.ReadJSON(ctx, b, object, &n)
	return n, err
}

// Names returns what is remembered of a record.
func (r Record) Names() RecordNames {
	n := RecordNames{Roots: r.Roots, Photos: make([]RecordName, len(r.Photos))}
	for i, p := range r.Photos {
		n.Photos[i] = RecordName{Name: p.Name, MD5: p.MD5, Object: p.Object}
	}
	return n
}

// Finder returns the finder of the record's photos.
func (n RecordNames) Finder() Finder {
	f := Finder{named: make(map[string]bool, len(n.Photos)), roots: n.Roots}
	for _, p := range n.Photos {
		f.named[cmp.Or(p.Object, p.Name)] = true
	}
	return f
}

// keepers are, by MD5, the photos that stand for all of the same content: those
// with the most boxes, of these the first.
func keepers(photos []LabelledPhoto, seen map[string]Seen) map[string]int {
	of := make(map[string]int, len(photos))
	for i, p := range photos {
		md5 := seen[p.Name].MD5
		if best, ok := of[md5]; !ok || len(p.Boxes) > len(photos[best].Boxes) {
			of[md5] = i
		}
	}
	return of
}

// Encode returns the record as it is stored, and its hash, which names it by its
// content.
func (r Record) Encode() (data []byte, hash string) {
	data, err := json.Marshal(r)
	if err != nil { // every field is plain data and boxes are finite
		panic(err)
	}
	sum := sha256.Sum256(data)
	return data, hex.EncodeToString(sum[:16])
}

// Hash names the record by its content.
func (r Record) Hash() string {
	_, hash := r.Encode()
	return hash
}

// Lost says which share of the record's photos or boxes was quarantined, "" when
// neither is above limit.
func (r Record) Lost(limit float64) string {
	photos, boxes := 0, 0
	for _, f := range r.Findings {
		switch {
		case f.Kind != Quarantined:
		case strings.HasPrefix(string(f.Code), "photo-") || strings.HasPrefix(string(f.Code), "name-"):
			photos += f.Count
		default:
			boxes += f.Count
		}
	}
	kept := r.Counts()
	switch {
	case float64(photos) > limit*float64(photos+kept.Photos):
		return fmt.Sprintf("%d of %d photos", photos, photos+kept.Photos)
	case float64(boxes) > limit*float64(boxes+kept.Boxes):
		return fmt.Sprintf("%d of %d boxes", boxes, boxes+kept.Boxes)
	}
	return ""
}

// Counts of the photos that can be used.
func (r Record) Counts() (c Counts) {
	for _, p := range r.Photos {
		if p.Fault == "" {
			c.Photos++
			c.Boxes += len(p.Boxes)
		}
	}
	return c
}
