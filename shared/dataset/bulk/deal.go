package bulk

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"os"
	"path/filepath"

	"github.com/litterloop/litterloop/shared/dataset"
	"github.com/litterloop/litterloop/shared/dataset/coco"
)

// all shards are dealt to; else only the one.
const all = -1

// Annotations and bytes take disk here, not memory, so the policy's bounds, which
// are for functions that hold a batch's labels in memory, are not what counts.
const (
	maxAnnotations = 100_000_000
	maxBytes       = 64 << 30
)

// dealt are the labels after the pass: images in memory, annotations on disk.
type dealt struct {
	o          Options
	n, only    int
	images     *images
	labels     uint32 // checksum
	classes    []string
	classOf    map[coco.ID]int
	found      tally // of categories
	unattached tally // annotations of no image
}

// dealing is the pass.
type dealing struct {
	*dealt
	list        []coco.Image // until they are settled
	categories  []coco.Category
	annotations []*spill // by shard; nil: not ours
	ids         []*spill
	place       int64  // annotations so far
	sum         uint32 // of the labels' bytes
	disordered  bool   // an annotation came before an image
	dropped     bool   // images that were settled too soon
	err         error
}

// deal reads the labels once, or again where annotations come before images.
func deal(ctx context.Context, src Source, o Options, n, only int) (*dealt, error) {
	d := &dealing{dealt: &dealt{o: o, n: n, only: only}}
	o.Progress("read labels", 0, 0)
	err := d.pass(ctx, src, coco.Visitor{Image: d.image, Annotation: d.annotation, Category: d.category})
	d.labels = d.sum
	if err == nil && d.dropped {
		d.list, d.images = nil, nil
		err = d.pass(ctx, src, coco.Visitor{Image: d.image})
	}
	if err == nil && d.images == nil {
		err = d.settle()
	}
	if err == nil && d.disordered {
		d.place, d.unattached, d.disordered = 0, nil, false
		err = d.pass(ctx, src, coco.Visitor{Annotation: d.annotation})
	}
	if err := errors.Join(err, d.close()); err != nil {
		return nil, err
	}
	var r dataset.Report
	d.classes, d.classOf = dataset.Classes(d.categories, &r)
	d.found.gather(r.Findings(), 0)
	return d.dealt, nil
}

func (d *dealing) pass(ctx context.Context, src Source, v coco.Visitor) error {
	r, err := src()
	if err != nil {
		return err
	}
	defer r.Close()
	if err := d.open(); err != nil {
		return err
	}
	d.sum = 0
	err = coco.Walk(reader{ctx, r, &d.sum}, coco.Limits{Images: d.o.Policy.MaxImages, Annotations: maxAnnotations, Bytes: maxBytes}, v)
	if err == nil {
		err = d.err
	}
	return err
}

// reader ends with its context, and sums up what it reads.
type reader struct {
	ctx context.Context
	r   io.Reader
	sum *uint32
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (r reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := r.r.Read(p)
	*r.sum = crc32.Update(*r.sum, castagnoli, p[:n])
	return n, err
}

func (d *dealing) image(im coco.Image) {
	if d.images != nil {
		d.disordered, d.dropped = true, true
		return
	}
	d.list = append(d.list, im)
}

func (d *dealing) category(c coco.Category) { d.categories = append(d.categories, c) }

func (d *dealing) settle() (err error) {
	d.images, err = settle(d.list)
	d.list = nil
	if err == nil && d.o.Photos != nil {
		err = d.o.Photos(d.images.names)
	}
	return err
}

// annotation deals one annotation to its shard, and its id to that of the id.
func (d *dealing) annotation(a *coco.Annotation) {
	if d.err != nil || d.disordered {
		return
	}
	if d.images == nil {
		if len(d.list) == 0 {
			d.disordered = true
			return
		}
		if d.err = d.settle(); d.err != nil {
			return
		}
	}
	place := d.place
	d.place++
	if a.ID != coco.NoID {
		if s := d.ids[shardOf(uint64(a.ID), d.n)]; s != nil {
			d.err = s.write(uint64(a.ID))
		}
	}
	photo := d.images.ids.get(int64(a.Image))
	if photo < 0 {
		if shardOf(uint64(place), d.n) == d.only || d.only == all {
			d.unattached.add(dataset.ImageUnknown, place, "annotation %v of image %v", a.ID, a.Image)
		}
		return
	}
	if s := d.annotations[shardOf(uint64(photo), d.n)]; s != nil && d.err == nil {
		flags := uint64(photo) << 2
		if a.HasBox {
			flags |= 1
		}
		if a.Crowd {
			flags |= 2
		}
		d.err = s.write(flags, uint64(place), uint64(a.ID), uint64(a.Image), uint64(a.Category),
			math.Float64bits(a.Box[0]), math.Float64bits(a.Box[1]), math.Float64bits(a.Box[2]), math.Float64bits(a.Box[3]))
	}
}

// words of an annotation in a spill.
const words = 9

// spill is a file of numbers that do not fit in memory.
type spill struct {
	f *os.File
	w *bufio.Writer
}

func (s *spill) write(values ...uint64) error {
	p := s.w.AvailableBuffer()
	for _, v := range values {
		p = binary.LittleEndian.AppendUint64(p, v)
	}
	_, err := s.w.Write(p)
	return err
}

func (d *dealt) spillName(kind string, shard int) string {
	return filepath.Join(d.o.Scratch, fmt.Sprintf("%s-%d-of-%d", kind, shard, d.n))
}

// open begins the spills, anew where they were begun.
func (d *dealing) open() error {
	if err := d.close(); err != nil {
		return err
	}
	d.annotations, d.ids = make([]*spill, d.n), make([]*spill, d.n)
	for shard := range d.n {
		if d.only != all && d.only != shard {
			continue
		}
		for kind, list := range map[string][]*spill{"annotations": d.annotations, "ids": d.ids} {
			f, err := os.Create(d.spillName(kind, shard))
			if err != nil {
				return err
			}
			list[shard] = &spill{f, bufio.NewWriterSize(f, 32<<10)}
		}
	}
	return nil
}

func (d *dealing) close() (err error) {
	for _, list := range [][]*spill{d.annotations, d.ids} {
		for _, s := range list {
			if s != nil {
				err = errors.Join(err, s.w.Flush(), s.f.Close())
			}
		}
	}
	d.annotations, d.ids = nil, nil
	return err
}
