package bulk

import (
	"bufio"
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"

	"github.com/litterloop/litterloop/shared/dataset"
	"github.com/litterloop/litterloop/shared/dataset/coco"
	"github.com/litterloop/litterloop/shared/errs"
)

// summary tells of a part. It is written last: where it is, the part is whole.
type summary struct {
	Labels   uint32   `json:"labels"` // checksum: parts of one data set have the same
	Photos   int      `json:"photos"` // in all parts, unusable ones included
	Classes  []string `json:"classes"`
	PerClass []int    `json:"per_class"` // boxes
	Found    tally    `json:"found"`

	boxes []dataset.Box // used again for each photo
}

const summaryEnding = ".json"

func partName(shard, n int) string { return fmt.Sprintf("part-%d-of-%d", shard, n) }

// drawn is an annotation as it comes out of a spill.
type drawn struct {
	photo           int32
	place           int64
	id, image       coco.ID
	category        coco.ID
	box             [4]float64
	hasBox, isCrowd bool
}

// part makes the part of a shard in file.
func (d *dealt) part(ctx context.Context, shard int, file string) (err error) {
	defer errs.Wrap(&err, "part %d of %d", shard, d.n)
	annotations, err := d.read(shard)
	if err != nil {
		return err
	}
	s := summary{Labels: d.labels, Photos: len(d.images.names), Classes: d.classes, PerClass: make([]int, len(d.classes))}
	if shard == 0 { // every shard found the same
		s.Found.merge(d.images.found)
		s.Found.merge(d.found)
	}
	if shard == max(d.only, 0) {
		s.Found.merge(d.unattached)
	}
	if err := d.duplicates(shard, &s.Found); err != nil {
		return err
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer f.Close()
	w := bufio.NewWriterSize(f, 1<<20)
	for photo := range d.images.names {
		if shardOf(uint64(photo), d.n) != shard {
			continue
		}
		n := 0
		for n < len(annotations) && annotations[n].photo == int32(photo) {
			n++
		}
		d.photo(w, photo, annotations[:n], &s)
		annotations = annotations[n:]
		if photo%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
	}
	if err := errors.Join(w.Flush(), f.Close()); err != nil {
		return err
	}
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	if err := os.WriteFile(file+summaryEnding+".partial", text, 0o666); err != nil {
		return err
	}
	return os.Rename(file+summaryEnding+".partial", file+summaryEnding)
}

// read reads a shard's annotations, those of a photo together, in the labels'
// order, and removes the spill.
func (d *dealt) read(shard int) ([]drawn, error) {
	all := make([]drawn, 0, d.count("annotations", shard, words))
	err := d.numbers("annotations", shard, words, func(v []uint64) {
		a := drawn{
			photo: int32(v[0] >> 2), hasBox: v[0]&1 != 0, isCrowd: v[0]&2 != 0,
			place: int64(v[1]), id: coco.ID(v[2]), image: coco.ID(v[3]), category: coco.ID(v[4]),
		}
		for i := range a.box {
			a.box[i] = math.Float64frombits(v[5+i])
		}
		all = append(all, a)
	})
	slices.SortFunc(all, func(x, y drawn) int { return cmp.Or(cmp.Compare(x.photo, y.photo), cmp.Compare(x.place, y.place)) })
	return all, err
}

// duplicates counts annotation ids that occur again, among those of the shard.
func (d *dealt) duplicates(shard int, found *tally) error {
	all := make([]int64, 0, d.count("ids", shard, 1))
	if err := d.numbers("ids", shard, 1, func(v []uint64) { all = append(all, int64(v[0])) }); err != nil {
		return err
	}
	slices.Sort(all)
	for i := 1; i < len(all); i++ {
		if all[i] == all[i-1] {
			found.add(dataset.AnnotationDuplicate, all[i], "annotation %v", coco.ID(all[i]))
		}
	}
	return nil
}

// count is how many times so many numbers a spill holds.
func (d *dealt) count(kind string, shard, at int) int64 {
	info, err := os.Stat(d.spillName(kind, shard))
	if err != nil {
		return 0 // reading it tells
	}
	return info.Size() / int64(8*at)
}

// numbers reads a spill, so many numbers at once, and removes it.
func (d *dealt) numbers(kind string, shard, at int, visit func([]uint64)) error {
	f, err := os.Open(d.spillName(kind, shard))
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	r := bufio.NewReaderSize(f, 256<<10)
	p, v := make([]byte, 8*at), make([]uint64, at)
	for {
		if _, err := io.ReadFull(r, p); err == io.EOF {
			return nil
		} else if err != nil {
			return fmt.Errorf("read %s: %w", f.Name(), err)
		}
		for i := range v {
			v[i] = binary.LittleEndian.Uint64(p[8*i:])
		}
		visit(v)
	}
}

// photo writes a photo's record: its index, name, classes, number of boxes and
// label file; a photo that cannot be used has no such file.
func (d *dealt) photo(w *bufio.Writer, photo int, annotations []drawn, s *summary) {
	name, width, height := d.images.names[photo], int(d.images.sizes[photo][0]), int(d.images.sizes[photo][1])
	boxes := s.boxes[:0]
	for _, a := range annotations {
		class, ok := d.classOf[a.category]
		drawn := coco.Annotation{ID: a.id, Image: a.image, Category: a.category, Box: a.box, HasBox: a.hasBox, Crowd: a.isCrowd}
		if code := dataset.AnnotationFault(&drawn, true, ok); code != "" {
			s.Found.add(code, a.place, "annotation %v of image %v", a.id, a.image)
			continue
		}
		boxes = append(boxes, dataset.Box{Class: class, X: a.box[0], Y: a.box[1], W: a.box[2], H: a.box[3]})
	}
	p := w.AvailableBuffer()
	p = binary.AppendUvarint(p, uint64(photo))
	p = binary.AppendUvarint(p, uint64(len(name)))
	p = append(p, name...)
	if fault := dataset.Declared(dataset.LabelledPhoto{Name: name, Width: width, Height: height}).Fault; fault != nil {
		s.Found.add(dataset.SizeUndeclared, int64(photo), "%s: %v", name, fault)
		w.Write(append(p, unusable))
		return
	}
	p = append(p, usable)
	s.boxes = boxes
	var r dataset.Report
	boxes = dataset.Clip(boxes, width, height, name, &r)
	s.Found.gather(r.Findings(), int64(photo))
	var classes []int
	for _, b := range boxes {
		s.PerClass[b.Class]++
		if !slices.Contains(classes, b.Class) {
			classes = append(classes, b.Class)
		}
	}
	p = binary.AppendUvarint(p, uint64(len(classes)))
	for _, c := range classes {
		p = binary.AppendUvarint(p, uint64(c))
	}
	text := dataset.YOLO(dataset.Photo{Width: width, Height: height, Boxes: boxes})
	p = binary.AppendUvarint(p, uint64(len(boxes)))
	p = binary.AppendUvarint(p, uint64(len(text)))
	w.Write(p) // its error stays until Flush
	w.Write(text)
}

// A record's photo can be used, or not.
const (
	usable   = 1
	unusable = 0
)
