// Package directory converts labelled photos on disk into a data set that
// trainers read, by the same code that converts batches in a bucket.
package directory

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/litterloop/litterloop/shared/dataset"
	"github.com/litterloop/litterloop/shared/dataset/inspect"
	"github.com/litterloop/litterloop/shared/dataset/labelformat"
	"github.com/litterloop/litterloop/shared/errs"
)

// Options of Convert.
type Options struct {
	Policy dataset.Policy
	// LabelsOnly leaves the photos alone: sizes are the declared ones. So it is
	// too when none of the photos is beside the labels.
	LabelsOnly bool
	// Progress, when set, is told how far a stage is; total is 0 where nobody
	// knows. It is called from several goroutines.
	Progress func(stage string, done, total int)
}

// Summary is what became of the labels. Clipped, Quarantined and Duplicates
// count by reason code.
type Summary struct {
	Images      int                              `json:"images"`
	Boxes       int                              `json:"boxes"`
	Classes     int                              `json:"classes"`
	Splits      map[dataset.Split]dataset.Counts `json:"splits"`
	Clipped     map[errs.Code]int                `json:"clipped"`
	Quarantined map[errs.Code]int                `json:"quarantined"`
	Duplicates  map[errs.Code]int                `json:"duplicates"`
	LabelsOnly  bool                             `json:"labels_only"` // photos were not looked at
	Findings    []dataset.Finding                `json:"findings,omitempty"`
}

// photoMissing: the labels name a photo that is not beside them.
const photoMissing errs.Code = "photo-missing"

// photoTooLarge is the code that imaging has for too many pixels.
const photoTooLarge errs.Code = "photo-too-large"

// Convert reads labels and photos: COCO labels with the photos beside them, YOLO
// labels by their data.yaml, an archive of either, or a directory with one of
// these or with what `dvc push` wrote. It writes labels/, data.yaml and links or
// copies of the photos into the directory out, which must be empty or not exist:
// out is there whole, or not at all.
func Convert(ctx context.Context, from, out string, o Options) (s Summary, err error) {
	defer errs.Wrap(&err, "convert %s to %s", from, out)
	if left, err := os.ReadDir(out); err == nil && len(left) > 0 {
		return s, errs.Permanentf("out-not-empty", "%s is not empty: name a new directory", out)
	}
	if o.Progress == nil {
		o.Progress = func(string, int, int) {}
	}
	// All is made beside out under a name of its own; what a run before left
	// there when it was killed goes.
	partial := filepath.Join(filepath.Dir(out), "."+filepath.Base(out)+".partial")
	if err := os.RemoveAll(partial); err != nil {
		return s, err
	}
	defer os.RemoveAll(partial)
	scratch, made := filepath.Join(partial, "unpacked"), filepath.Join(partial, "made")
	if err := os.MkdirAll(made, 0o777); err != nil {
		return s, err
	}
	o.Progress("read labels", 0, 0)
	src, err := open(ctx, from, scratch, out, o.Policy)
	if err != nil {
		return s, err
	}
	s, ok, err := streamed(ctx, src, scratch, made, o)
	if err != nil {
		return s, err
	}
	if !ok {
		if s, err = withPhotos(ctx, src, made, o); err != nil {
			return s, err
		}
	}
	if err := os.Remove(out); err != nil && !errors.Is(err, fs.ErrNotExist) { // an empty directory
		return s, err
	}
	return s, os.Rename(made, out)
}

// withPhotos converts labels of any kind, with their photos where there are any.
func withPhotos(ctx context.Context, src *source, made string, o Options) (s Summary, err error) {
	labels, err := labelformat.Read(ctx, src, o.Policy)
	if err != nil {
		return s, err
	}
	var r dataset.Report
	r.Merge(labels.Findings)
	r.Merge(src.found)
	labels.Findings = r.Findings()
	var files map[string]string
	if !o.LabelsOnly {
		files = src.photos(labels)
	}
	o.LabelsOnly = len(files) == 0
	seen, err := look(ctx, files, labels, o)
	if err != nil {
		return s, err
	}
	return write(ctx, made, labels, files, seen, o)
}

// write lays the data set out in the directory out.
func write(ctx context.Context, out string, labels dataset.Labels, files map[string]string, seen map[string]dataset.Seen, o Options) (s Summary, err error) {
	rec := dataset.NewRecord("", labels, seen)
	measured := make(map[string]dataset.Measured, len(seen))
	for _, found := range seen {
		measured[found.MD5] = found.Measured
	}
	s = summarise(rec)
	s.LabelsOnly = o.LabelsOnly
	fileOf := make(map[string]string, len(rec.Photos)) // by content
	for i, p := range rec.Photos {
		if p.Fault == "" {
			fileOf[p.MD5] = files[labels.Photos[i].Key()]
		}
	}
	photos := rec.Layout(measured, o.Policy)
	if err := directories(out, photos, o.LabelsOnly); err != nil {
		return s, err
	}
	var done atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	const chunk = 256 // photos: a goroutine for each would cost more than it does
	for part := range slices.Chunk(photos, chunk) {
		g.Go(func() error {
			for _, p := range part {
				if err := ctx.Err(); err != nil {
					return err
				}
				if err := os.WriteFile(filepath.Join(out, filepath.FromSlash(dataset.LabelPath(p.Path))), dataset.YOLO(p), 0o666); err != nil {
					return err
				}
				if o.LabelsOnly {
					continue
				}
				if err := link(fileOf[p.MD5], filepath.Join(out, filepath.FromSlash(p.Path))); err != nil {
					return err
				}
			}
			o.Progress("write", int(done.Add(int64(len(part)))), len(photos))
			return nil
		})
	}
	for _, p := range photos {
		n := s.Splits[p.Split]
		s.Splits[p.Split] = dataset.Counts{Photos: n.Photos + 1, Boxes: n.Boxes + len(p.Boxes)}
	}
	if err := g.Wait(); err != nil {
		return s, err
	}
	names, err := dataset.DataYAML(rec.Classes)
	if err != nil {
		return s, err
	}
	return s, os.WriteFile(filepath.Join(out, dataset.DataYAMLFile), names, 0o666)
}

// look finds out about the photos that labels name, by name. files are theirs,
// by key.
func look(ctx context.Context, files map[string]string, labels dataset.Labels, o Options) (map[string]dataset.Seen, error) {
	seen := make(map[string]dataset.Seen, len(labels.Photos))
	if o.LabelsOnly {
		for _, p := range labels.Photos {
			seen[p.Name] = dataset.Declared(p)
		}
		return seen, nil
	}
	var mu sync.Mutex
	var done atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for _, p := range labels.Photos {
		g.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			s, err := inspectFile(files[p.Key()], o.Policy)
			if err != nil {
				return err
			}
			o.Progress("look at photos", int(done.Add(1)), len(labels.Photos))
			mu.Lock()
			defer mu.Unlock()
			seen[p.Name] = s
			return nil
		})
	}
	return seen, g.Wait()
}

// inspectFile finds out about a photo; file is "" where there is none.
func inspectFile(file string, policy dataset.Policy) (dataset.Seen, error) {
	if file == "" {
		return dataset.Seen{Fault: errs.Permanentf(photoMissing, "the photo is not beside the labels")}, nil
	}
	if info, err := os.Stat(file); err == nil && info.Size() > policy.MaxPhotoBytes {
		return dataset.Seen{Fault: errs.Permanentf(photoTooLarge, "it has more than the %d bytes that are allowed", policy.MaxPhotoBytes)}, nil
	}
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) { // DVC's listing names it, and it was not pushed
		return dataset.Seen{Fault: errs.Permanentf(photoMissing, "the photo is not beside the labels")}, nil
	}
	if err != nil {
		return dataset.Seen{}, err
	}
	return inspect.Photo(data), nil
}

// shard spreads many files over directories.
func shard(index int) string { return fmt.Sprintf("%04d/%d", index/1000, index) }

// directories makes every directory that photos and labels need.
func directories(out string, photos []dataset.Photo, labelsOnly bool) error {
	made := map[string]bool{}
	need := func(name string) error {
		dir := filepath.Join(out, filepath.FromSlash(path.Dir(name)))
		if made[dir] {
			return nil
		}
		made[dir] = true
		return os.MkdirAll(dir, 0o777)
	}
	for _, p := range photos {
		if err := need(dataset.LabelPath(p.Path)); err != nil {
			return err
		}
		if labelsOnly {
			continue
		}
		if err := need(p.Path); err != nil {
			return err
		}
	}
	return nil
}

// link gives a photo a second name, or copies it where the file system cannot.
func link(from, to string) error {
	if err := os.Link(from, to); err == nil {
		return nil
	}
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o666)
}

func summarise(rec dataset.Record) Summary {
	counts := rec.Counts()
	s := Summary{Images: counts.Photos, Boxes: counts.Boxes, Classes: len(rec.Classes), Splits: map[dataset.Split]dataset.Counts{}}
	s.sort(rec.Findings)
	return s
}

// sort counts findings by what was done about them.
func (s *Summary) sort(findings []dataset.Finding) {
	s.Clipped, s.Quarantined, s.Duplicates, s.Findings = map[errs.Code]int{}, map[errs.Code]int{}, map[errs.Code]int{}, findings
	for _, f := range findings {
		switch f.Kind {
		case dataset.Clipped:
			s.Clipped[f.Code] = f.Count
		case dataset.Quarantined:
			s.Quarantined[f.Code] = f.Count
		case dataset.Duplicate:
			s.Duplicates[f.Code] = f.Count
		}
	}
}
