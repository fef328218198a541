// Package directory converts labelled photos on disk into a data set that
// trainers read, by the same code that converts batches in a bucket.
package directory

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"
	"golang.org/x/text/unicode/norm"

	"github.com/litterloop/litterloop/shared/dataset"
	"github.com/litterloop/litterloop/shared/dataset/coco"
	"github.com/litterloop/litterloop/shared/dataset/inspect"
	"github.com/litterloop/litterloop/shared/errs"
)

// Options of Convert.
type Options struct {
	Policy dataset.Policy
	// LabelsOnly leaves the photos alone: sizes are the declared ones. So it is
	// too when none of the photos is beside the labels.
	LabelsOnly bool
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

// sizeUnknown: neither a photo nor a declared size to clip boxes by.
const sizeUnknown errs.Code = "size-unknown"

// Convert reads COCO labels, source or annotations.json in the directory
// source, and the photos beside them; it writes labels/, data.yaml and links or
// copies of the photos into the directory out, which must be empty or not exist.
func Convert(ctx context.Context, source, out string, o Options) (s Summary, err error) {
	defer errs.Wrap(&err, "convert %s to %s", source, out)
	labelsFile := source
	if info, err := os.Stat(source); err != nil {
		return s, err
	} else if info.IsDir() {
		labelsFile = filepath.Join(source, dataset.LabelsFile)
	}
	if left, err := os.ReadDir(out); err == nil && len(left) > 0 {
		return s, errs.Permanentf("out-not-empty", "%s is not empty: name a new directory", out)
	}
	labels, err := read(labelsFile, o.Policy)
	if err != nil {
		return s, err
	}
	o.LabelsOnly = o.LabelsOnly || !anyPhoto(filepath.Dir(labelsFile), labels)
	seen, err := look(ctx, filepath.Dir(labelsFile), labels, o.LabelsOnly)
	if err != nil {
		return s, err
	}
	rec := dataset.NewRecord("", labels, seen)
	measured := make(map[string]dataset.Measured, len(seen))
	for _, found := range seen {
		measured[found.MD5] = found.Measured
	}
	s = summarise(rec)
	s.LabelsOnly = o.LabelsOnly
	nameOf := make(map[string]string, len(rec.Photos))
	for _, p := range rec.Photos {
		if p.Fault == "" {
			nameOf[p.MD5] = p.Name
		}
	}
	photos := rec.Layout(measured, o.Policy)
	if err := directories(out, photos, o.LabelsOnly); err != nil {
		return s, err
	}
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
				if err := link(photoFile(filepath.Dir(labelsFile), nameOf[p.MD5]), filepath.Join(out, filepath.FromSlash(p.Path))); err != nil {
					return err
				}
			}
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
	return s, os.WriteFile(filepath.Join(out, dataset.DataYAMLFile), names, 0o666) // last: where it is, all is
}

func read(name string, p dataset.Policy) (dataset.Labels, error) {
	f, err := os.Open(name)
	if err != nil {
		return dataset.Labels{}, err
	}
	defer f.Close()
	parsed, err := coco.Read(f, coco.Limits{Images: p.MaxImages, Annotations: p.MaxAnnotations, Bytes: p.MaxLabelBytes})
	if err != nil {
		return dataset.Labels{}, err
	}
	return dataset.FromCOCO(parsed)
}

// anyPhoto tells whether any photo that labels name is there.
func anyPhoto(root string, labels dataset.Labels) bool {
	return slices.ContainsFunc(labels.Photos, func(p dataset.LabelledPhoto) bool {
		_, err := os.Stat(photoFile(root, p.Name))
		return err == nil
	})
}

// look finds out about the photos that labels name, by name.
func look(ctx context.Context, root string, labels dataset.Labels, labelsOnly bool) (map[string]dataset.Seen, error) {
	seen := make(map[string]dataset.Seen, len(labels.Photos))
	if labelsOnly {
		for _, p := range labels.Photos {
			seen[p.Name] = declared(p)
		}
		return seen, nil
	}
	var mu sync.Mutex
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for _, p := range labels.Photos {
		g.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			data, err := os.ReadFile(photoFile(root, p.Name))
			s := dataset.Seen{Fault: errs.Permanentf(photoMissing, "the photo is not beside the labels")}
			switch {
			case err == nil:
				s = inspect.Photo(data)
			case !errors.Is(err, fs.ErrNotExist):
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			seen[p.Name] = s
			return nil
		})
	}
	return seen, g.Wait()
}

// photoFile is a photo's file; on a Mac accents may stand apart in its name.
func photoFile(root, name string) string {
	file := filepath.Join(root, filepath.FromSlash(name))
	if apart := filepath.Join(root, filepath.FromSlash(norm.NFD.String(name))); apart != file {
		if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
			return apart
		}
	}
	return file
}

// declared takes the labels' word for a photo; its name stands for its content.
func declared(p dataset.LabelledPhoto) dataset.Seen {
	var s dataset.Seen
	s.MD5, s.Width, s.Height = dataset.MD5Hex([]byte(p.Name)), p.Width, p.Height
	if p.Width == 0 || p.Height == 0 {
		s.Fault = errs.Permanentf(sizeUnknown, "the labels declare no width and height")
	}
	return s
}

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
	s := Summary{
		Images: counts.Photos, Boxes: counts.Boxes, Classes: len(rec.Classes), Splits: map[dataset.Split]dataset.Counts{},
		Clipped: map[errs.Code]int{}, Quarantined: map[errs.Code]int{}, Duplicates: map[errs.Code]int{}, Findings: rec.Findings,
	}
	for _, f := range rec.Findings {
		switch f.Kind {
		case dataset.Clipped:
			s.Clipped[f.Code] = f.Count
		case dataset.Quarantined:
			s.Quarantined[f.Code] = f.Count
		case dataset.Duplicate:
			s.Duplicates[f.Code] = f.Count
		}
	}
	return s
}
