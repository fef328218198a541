// Package files reads labelled photos on disk as a trainer takes them: files
// alone, no bucket and no data set version.
package files

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/litterloop/litterloop/shared/dataset"
	"github.com/litterloop/litterloop/shared/dataset/labelformat"
	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/imaging"
)

// Reasons why files cannot be trained on. All are permanent.
const (
	PhotoMissing   errs.Code = "photo-missing"   // the labels name a photo that is not there
	HeldOutUnknown errs.Code = "heldout-unknown" // the list of held-out photos names one that has no labels
)

// Photo is a labelled photo on disk. Boxes are in pixels of the displayed photo,
// within it.
type Photo struct {
	Name  string // as the labels have it
	Boxes []dataset.Box

	file string
}

// Load returns the photo's bytes. A photo that is gone is a permanent error.
func (p Photo) Load(context.Context) ([]byte, error) {
	data, err := os.ReadFile(p.file)
	if os.IsNotExist(err) {
		return nil, errs.Permanentf(PhotoMissing, "photo %s was there when its labels were read and is gone: %w", p.file, err)
	}
	return data, err
}

// Set is a directory of labelled photos.
type Set struct {
	Classes  []string
	Photos   []Photo
	Findings []dataset.Finding // about labels that were left out or mended
}

// Read reads the labels of a directory, COCO or YOLO, and the sizes of its
// photos. classes, where it says anything, takes the place of the directory's own
// classes.yaml. Labels that cannot be used are a permanent error.
func Read(ctx context.Context, dir string, classes dataset.ClassMap) (s Set, err error) {
	defer errs.Wrap(&err, "read labelled photos in %s", dir)
	t, err := openTree(dir)
	if err != nil {
		return s, err
	}
	policy := dataset.DefaultPolicy()
	if !classes.Zero() {
		policy.Classes = classes
		t.names = slices.DeleteFunc(t.names, func(n string) bool { return n == dataset.ClassMapFile })
	}
	labels, err := labelformat.Read(ctx, t, policy)
	if err != nil {
		return s, err
	}
	s.Classes = labels.Classes
	var r dataset.Report
	r.Merge(labels.Findings)
	found := t.photos(labels)
	for _, l := range labels.Photos {
		p := Photo{Name: l.Name, file: found[l.Key()]}
		if p.file == "" {
			return s, errs.Permanentf(PhotoMissing, "the labels name photo %s, and it is not in the directory", l.Name)
		}
		w, h, err := size(p.file)
		if err != nil {
			return s, fmt.Errorf("photo %s: %w", l.Name, err)
		}
		boxes := l.Boxes
		if l.Shares {
			boxes = slices.Clone(boxes)
			for i, b := range boxes {
				boxes[i] = dataset.Box{Class: b.Class, X: b.X * float64(w), Y: b.Y * float64(h), W: b.W * float64(w), H: b.H * float64(h)}
			}
		}
		p.Boxes = dataset.Clip(boxes, w, h, l.Name, &r)
		s.Photos = append(s.Photos, p)
	}
	s.Findings = r.Findings()
	return s, nil
}

// headerBytes are read of a photo to learn its size; EXIF blocks of 64 kB and a
// thumbnail go before it.
const headerBytes = 1 << 18

func size(file string) (w, h int, err error) {
	f, err := os.Open(file)
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	head, err := io.ReadAll(io.LimitReader(f, headerBytes))
	if err != nil {
		return 0, 0, err
	}
	info, err := imaging.Header(head)
	if err != nil { // the size stands further on
		rest, err := io.ReadAll(f)
		if err != nil {
			return 0, 0, err
		}
		if info, err = imaging.Header(append(head, rest...)); err != nil {
			return 0, 0, err
		}
	}
	return info.W, info.H, nil
}

// Split divides a set by a list of held-out photos, one name a line, as the
// labels or the directory have them.
func (s Set) Split(list string) (train, val []Photo, err error) {
	defer errs.Wrap(&err, "held-out photos in %s", list)
	text, err := os.ReadFile(list)
	if err != nil {
		return nil, nil, err
	}
	wanted := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		if name := strings.TrimSpace(line); name != "" {
			wanted[filepath.ToSlash(name)] = true
		}
	}
	for _, p := range s.Photos {
		held := false
		for name := range wanted {
			if name == p.Name || strings.HasSuffix(filepath.ToSlash(p.file), "/"+name) {
				held = true
				delete(wanted, name)
				break
			}
		}
		if held {
			val = append(val, p)
		} else {
			train = append(train, p)
		}
	}
	for name := range wanted {
		return nil, nil, errs.Permanentf(HeldOutUnknown, "%s is not among the %d labelled photos", name, len(s.Photos))
	}
	return train, val, nil
}

// tree is a directory as labelformat reads it.
type tree struct {
	names []string
	files map[string]string // by name
}

func openTree(dir string) (*tree, error) {
	t := &tree{files: map[string]string{}}
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, p)
		if err != nil {
			return err
		}
		name, ok := dataset.CleanName(filepath.ToSlash(name))
		if !ok && filepath.Base(p) == dataset.LabelsFile {
			name, ok = dataset.LabelsFile, true
		}
		if ok {
			t.names, t.files[name] = append(t.names, name), p
		}
		return nil
	})
	return t, err
}

// photos are the files of the photos that labels name, by their Key.
func (t *tree) photos(l dataset.Labels) map[string]string {
	found, rank := map[string]string{}, map[string]int{}
	finder := l.Finder()
	for _, n := range t.names {
		if key, r, ok := finder.Find(n); ok {
			if best, have := rank[key]; !have || r < best {
				found[key], rank[key] = t.files[n], r
			}
		}
	}
	return found
}

func (t *tree) Names() []string { return t.names }

func (t *tree) Open(_ context.Context, name string) (io.ReadCloser, error) {
	return os.Open(t.files[name])
}
