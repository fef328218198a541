package dataset

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// Head is HeadObject: the newest version and the batches that it is made of. It
// changes by compare-and-swap, and that is the moment a version comes to be;
// its summary, which is here whole, follows in its own object.
type Head struct {
	Schema  int         `json:"schema"`
	Version Version     `json:"version"`
	Batches []HeadBatch `json:"batches"` // in the order they were first accepted
}

// HeadBatch is a batch that the newest version holds.
type HeadBatch struct {
	Name   string `json:"name"`
	Folder string `json:"folder"` // in the version, below images/SPLIT/
	Record string `json:"record"` // hash
	Newest int64  `json:"newest"` // largest generation of the objects it was made from

	ClassMap *ClassMap `json:"class_map,omitempty"` // that was applied
}

// Batch returns the entry of a batch, nil when the head has none.
func (h *Head) Batch(name string) *HeadBatch {
	for i := range h.Batches {
		if h.Batches[i].Name == name {
			return &h.Batches[i]
		}
	}
	return nil
}

// Contents are a version and every file that belongs to it besides the photos.
type Contents struct {
	Version  Version
	Photos   []Photo           // in Path order
	JSONL    []byte            // PhotosFile
	DataYAML []byte            // DataYAMLFile
	Dir      []byte            // the .dir listing
	DVC      []byte            // DVCFile
	Measured []byte            // MeasuredFile
	Labels   map[string][]byte // label files that the version before did not have, by MD5
}

// Assemble makes the version that follows head: the photos of the version
// before (nil for the first), those of this batch replaced by the record's.
// measured tells of all of them, by MD5.
// head is changed to what it must be after. A class map that wants an id which
// another class has is a permanent error, ClassIDTaken. The outcome depends on nothing but
// the arguments; only Created depends on now.
func Assemble(head *Head, before []Photo, measured map[string]Measured, rec Record, recordHash string, newest int64, p Policy, now time.Time) (*Contents, error) {
	if err := rec.ClassMap.pinned(head.Version.Classes); err != nil {
		return nil, err
	}
	entry := head.Batch(rec.Batch)
	if entry == nil {
		head.Batches = append(head.Batches, HeadBatch{Name: rec.Batch, Folder: folder(rec.Batch, head.Batches)})
		entry = &head.Batches[len(head.Batches)-1]
	}
	entry.Record, entry.Newest, entry.ClassMap = recordHash, newest, rec.ClassMap

	names, global := mergeClasses(head.Version.Classes, rec.Classes)
	old := map[string]Photo{} // this batch's, by path
	photos := make([]Photo, 0, len(before)+len(rec.Photos))
	for _, ph := range before {
		if ph.Batch != rec.Batch {
			photos = append(photos, ph)
		} else {
			old[ph.Path] = ph
		}
	}
	kept := len(photos)
	photos = append(photos, recordPhotos(rec, entry.Folder, global, before, measured, p)...)
	c := &Contents{Labels: map[string][]byte{}}
	files := make([]File, 0, 2*len(photos)+1)
	for i, ph := range photos {
		text := YOLO(ph)
		label := File{Path: LabelPath(ph.Path), MD5: MD5Hex(text), Size: int64(len(text))}
		files = append(files, File{ph.Path, ph.MD5, ph.Size}, label)
		if was, ok := old[ph.Path]; i >= kept && !(ok && bytes.Equal(YOLO(was), text)) {
			c.Labels[label.MD5] = text
		}
	}
	slices.SortFunc(photos, func(x, y Photo) int { return strings.Compare(x.Path, y.Path) })
	c.Photos = photos
	var err error
	if c.DataYAML, err = DataYAML(names); err != nil {
		return nil, fmt.Errorf("data.yaml of %d classes: %w", len(names), err)
	}
	files = append(files, File{DataYAMLFile, MD5Hex(c.DataYAML), int64(len(c.DataYAML))})
	var g errgroup.Group // each is large
	g.Go(func() (err error) { c.JSONL, err = jsonLines(photos); return err })
	g.Go(func() (err error) { c.Measured, err = measuredLines(photos, measured); return err })
	c.Dir = DirListing(files)
	if err := g.Wait(); err != nil {
		return nil, err
	}
	v := summarise(photos, names)
	v.Files = len(files)
	for _, f := range files {
		v.Bytes += f.Size
	}
	v.DirMD5 = MD5Hex(c.Dir)
	for _, b := range head.Batches {
		if b.ClassMap != nil {
			if v.ClassMaps == nil {
				v.ClassMaps = map[string]*ClassMap{}
			}
			v.ClassMaps[b.Name] = b.ClassMap
		}
	}
	v.ID = contentID(v, c.JSONL)
	v.Sequence = head.Version.Sequence + 1
	v.Created = now.UTC()
	v.Parent = head.Version.ID
	for _, b := range head.Batches {
		v.Batches = append(v.Batches, b.Name)
	}
	c.DVC = DVCPointer(v.DirMD5, v.Bytes, v.Files, "dataset")
	c.Version = v
	head.Schema = 1
	if v.ID != head.Version.ID {
		head.Version = v
	}
	return c, nil
}

// Layout is a record on its own: its usable photos as a first version would hold
// them, without a folder for the batch.
func (r Record) Layout(measured map[string]Measured, p Policy) []Photo {
	_, global := mergeClasses(nil, r.Classes)
	return recordPhotos(r, "", global, nil, measured, p)
}

// recordPhotos are a record's usable photos as a version holds them.
func recordPhotos(rec Record, folder string, global []int, before []Photo, measured map[string]Measured, p Policy) []Photo {
	var usable []candidate
	for _, ph := range rec.Photos {
		if ph.Fault == "" {
			usable = append(usable, candidate{ph.MD5, measured[ph.MD5], ph.Boxes})
		}
	}
	of := splits(usable, before, measured, p.ValShare, p.Seed)
	same := true // the batch's class ids are the version's
	for class, id := range global {
		same = same && class == id
	}
	out := make([]Photo, 0, len(usable))
	for _, ph := range rec.Photos {
		if ph.Fault != "" {
			continue
		}
		boxes := ph.Boxes
		if !same {
			boxes = make([]Box, len(ph.Boxes))
			for i, b := range ph.Boxes {
				b.Class = global[b.Class]
				boxes[i] = b
			}
		}
		split := of[ph.MD5]
		out = append(out, Photo{
			Path: path.Join("images", string(split), folder, ph.File),
			MD5:  ph.MD5, Size: ph.Size, Width: ph.Width, Height: ph.Height, Orientation: ph.Orientation,
			Split: split, Batch: rec.Batch, Boxes: boxes,
		})
	}
	return out
}

// mergeClasses appends the classes that are new, so that an id, once given,
// stays; global is each batch class's index in the result.
func mergeClasses(have, batch []string) (names []string, global []int) {
	names = slices.Clone(have)
	for _, c := range batch {
		i := slices.Index(names, c)
		if i < 0 {
			i = len(names)
			names = append(names, c)
		}
		global = append(global, i)
	}
	return names, global
}

// folder is a batch's directory in versions: its own name where file systems
// allow, distinct from the others' even where case is ignored.
func folder(batch string, taken []HeadBatch) string {
	f := portable(batch)
	for _, t := range taken {
		if strings.EqualFold(t.Folder, f) {
			return f + "-" + shortHash(batch)
		}
	}
	return f
}

// LabelPath is the labels' path of a photo's path, as trainers derive it.
func LabelPath(photo string) string {
	return "labels/" + strings.TrimSuffix(strings.TrimPrefix(photo, "images/"), path.Ext(photo)) + ".txt"
}

func jsonLines(photos []Photo) ([]byte, error) {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	for _, p := range photos {
		if err := e.Encode(p); err != nil {
			return nil, fmt.Errorf("encode photo %q: %w", p.Path, err)
		}
	}
	return out.Bytes(), nil
}

func summarise(photos []Photo, classes []string) Version {
	v := Version{Schema: 1, Classes: classes, Splits: map[Split]Counts{Train: {}, Val: {}}, PerClass: make([]int, len(classes))}
	for _, p := range photos {
		c := v.Splits[p.Split]
		c.Photos++
		c.Boxes += len(p.Boxes)
		v.Splits[p.Split] = c
		v.Counts.Photos++
		v.Counts.Boxes += len(p.Boxes)
		for _, b := range p.Boxes {
			v.PerClass[b.Class]++
		}
	}
	return v
}

// contentID names a version by what is in it: classes and how they came to be,
// photos, boxes, splits.
func contentID(v Version, photos []byte) string {
	h := sha256.New()
	names, _ := json.Marshal(v.Classes) // strings always marshal
	h.Write(names)
	if len(v.ClassMaps) > 0 {
		classMaps, _ := json.Marshal(v.ClassMaps) // and so do maps of them
		h.Write(classMaps)
	}
	h.Write([]byte{'\n'})
	h.Write(photos)
	return hex.EncodeToString(h.Sum(nil)[:8])
}
