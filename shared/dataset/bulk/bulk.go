// Package bulk converts COCO labels of any size into YOLO labels, in memory that
// does not grow with the annotations. One pass over the labels deals the
// annotations out to shards by a hash of their image, on disk; each shard becomes
// a part; a merge makes the data set of all parts. On one machine one process
// does it all; on Cloud Run each task of a job deals for itself alone and leaves
// its part, and the merge comes last. What comes out is what package directory
// makes of the same labels without photos.
package bulk

import (
	"cmp"
	"context"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/litterloop/litterloop/shared/dataset"
	"github.com/litterloop/litterloop/shared/dataset/coco"
	"github.com/litterloop/litterloop/shared/dataset/labelformat"
	"github.com/litterloop/litterloop/shared/errs"
)

// Source opens the labels at their beginning; it is called again where they have
// to be read twice.
type Source func() (io.ReadCloser, error)

// Options of Convert and MakePart.
type Options struct {
	Policy dataset.Policy
	// Scratch is an existing directory for what does not fit in memory: about
	// 75 bytes an annotation, and the labels as text.
	Scratch string
	// Photos, when set, is told the photos' names as soon as they are known, in
	// order; its error ends the conversion.
	Photos func(names []string) error
	// Progress, when set, is told how far a stage is; total is 0 where nobody
	// knows. It is called from several goroutines.
	Progress func(stage string, done, total int)
}

// Result is what became of the labels.
type Result struct {
	Classes  []string
	Splits   map[dataset.Split]dataset.Counts
	Findings []dataset.Finding
}

// bytesAShard of labels are some 6 MB in memory, for each core.
const bytesAShard = 16 << 20

// maxShards keeps the files that are open at once few.
const maxShards = 256

// Shards is into how many parts labels of so many bytes are best dealt on one
// machine.
func Shards(bytes int64) int { return int(min(1+bytes/bytesAShard, maxShards)) }

// Convert makes the data set of labels, dealt to n shards, in the directory made,
// which must exist and be empty. Bad labels are the permanent errors of
// coco.Read, or "labels-empty".
func Convert(ctx context.Context, src Source, n int, made string, o Options) (Result, error) {
	o = o.filled()
	d, err := deal(ctx, src, o, n, all)
	if err != nil {
		return Result{}, err
	}
	g, group := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for shard := range n {
		g.Go(func() error { return d.part(group, shard, filepath.Join(o.Scratch, partName(shard, n))) })
	}
	if err := g.Wait(); err != nil {
		return Result{}, err
	}
	d.images = nil // the parts have it
	return Merge(ctx, o.Scratch, n, made, o)
}

// MakePart makes the part of one shard of n in the directory parts, which tasks
// share. A part that is there is kept: making it again would give the same.
func MakePart(ctx context.Context, src Source, shard, n int, parts string, o Options) error {
	if shard < 0 || shard >= n || n > maxShards {
		return errs.Permanentf("shard-unknown", "shard %d of %d: shards count from 0, and there are at most %d", shard, n, maxShards)
	}
	file := filepath.Join(parts, partName(shard, n))
	if _, err := os.Stat(file + summaryEnding); err == nil {
		return nil
	}
	o = o.filled()
	d, err := deal(ctx, src, o, n, shard)
	if err != nil {
		return err
	}
	return d.part(ctx, shard, file)
}

func (o Options) filled() Options {
	if o.Progress == nil {
		o.Progress = func(string, int, int) {}
	}
	return o
}

// images are the images of the labels, as every shard needs them.
type images struct {
	names []string // of the photos, sorted: a photo is its index here
	sizes [][2]int32
	ids   ids // image ids to photos
	found tally
}

// settle sorts images out as dataset.FromCOCO does. It changes the list.
func settle(list []coco.Image) (*images, error) {
	im := &images{ids: newIDs(len(list))}
	order := make([]int32, 0, len(list)) // usable records
	for i := range list {
		rec := &list[i]
		if rec.FileName == "" {
			im.found.add(dataset.NameMissing, int64(i), "image %v", rec.ID)
			continue
		}
		name, ok := dataset.CleanName(labelformat.Uploaded(rec.FileName))
		if !ok {
			im.found.add(dataset.NameUnsafe, int64(i), "%.200q", rec.FileName)
			continue
		}
		rec.FileName = name
		order = append(order, int32(i))
	}
	if len(order) == 0 {
		return nil, errs.Permanentf("labels-empty", "the labels name no photo that can be used: %d images in them", len(list))
	}
	slices.SortFunc(order, func(x, y int32) int {
		return cmp.Or(cmp.Compare(list[x].FileName, list[y].FileName), cmp.Compare(x, y))
	})
	photoOf := make([]int32, len(list)) // by record
	for i := range photoOf {
		photoOf[i] = -1
	}
	for i, rec := range order {
		name := list[rec].FileName
		if i > 0 && name == im.names[len(im.names)-1] {
			im.found.add(dataset.NameDuplicate, int64(rec), "%s", name)
		} else {
			im.names = append(im.names, name)
			im.sizes = append(im.sizes, [2]int32{int32(list[rec].Width), int32(list[rec].Height)})
		}
		photoOf[rec] = int32(len(im.names) - 1)
	}
	for i := range list {
		if photoOf[i] >= 0 && !im.ids.put(int64(list[i].ID), photoOf[i]) {
			im.found.add(dataset.ImageDuplicate, int64(i), "image %v", list[i].ID)
		}
	}
	return im, nil
}

// shardOf a photo: a mix of its index, so that neighbours go to different ones.
func shardOf(v uint64, n int) int {
	v *= 0x9e3779b97f4a7c15
	return int((v ^ v>>32) % uint64(n))
}
