package intake

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/dataset"
	"github.com/litterloop/litterloop/shared/dataset/archive"
	"github.com/litterloop/litterloop/shared/dataset/labelformat"
	"github.com/litterloop/litterloop/shared/errs"
)

// role is what an object of a batch is to the batch's labels.
type role int

const (
	file     role = iota // a photo, or a text that counts once the marker is there
	document             // COCO labels, or a class map: whole by itself
	archived             // an archive: whole by itself
	pointer              // a .dvc file
	listing              // what a .dvc file points to
	marker               // says that YOLO labels are all there
)

// roleOf tells by its name what an object is.
func roleOf(name string) role {
	_, packed := archive.FormatOf(name)
	top := !strings.Contains(name, "/")
	switch {
	case labelformat.IsCOCO(name) || name == dataset.ClassMapFile:
		return document
	case packed && top:
		return archived
	case top && path.Ext(name) == ".dvc" && name != ".dvc":
		return pointer
	case strings.HasPrefix(name, pushedPrefix) && path.Ext(name) == ".dir":
		return listing
	case name == dataset.MarkerFile:
		return marker
	}
	return file
}

// pushedPrefix is where `dvc push` puts content below a remote's root.
const pushedPrefix = "files/"

// has tells whether labels come from an object of a role, among others.
func has(sources []dataset.LabelSource, r role) bool {
	return slices.ContainsFunc(sources, func(s dataset.LabelSource) bool { return roleOf(s.Name) == r })
}

// isExtra tells of an object that is none of the photos of a batch whether
// somebody may have meant it to be used.
func isExtra(s dataset.BatchStatus, name string) bool {
	return name != "" && !strings.HasSuffix(name, "/") && roleOf(name) == file &&
		!(has(s.Sources, marker) && archive.IsText(name)) && !(has(s.Sources, pointer) && strings.HasPrefix(name, pushedPrefix))
}

// refresh returns the sources of a batch's labels after the object name was
// written; changed is false where all of it is known already.
func (in *Intake) refresh(ctx context.Context, s dataset.BatchStatus, batch, name string) (sources []dataset.LabelSource, changed bool, err error) {
	sources = slices.Clone(s.Sources)
	if r := roleOf(name); r == listing || r == file { // what some source may lack
		return sources, s.Lacks != "" && len(sources) > 0, nil
	}
	known := []string{name}
	if name != dataset.ClassMapFile { // whose event may come later, and whose classes must not
		known = append(known, dataset.ClassMapFile)
	}
	for i, n := range known {
		a, err := in.incoming.Stat(ctx, batch+"/"+n)
		if errors.Is(err, errs.NotFound) {
			if i == 0 { // deleted since
				return sources, false, nil
			}
			continue
		}
		if err != nil {
			return nil, false, err
		}
		live := dataset.LabelSource{Name: n, MD5: cmp.Or(a.MD5, fmt.Sprintf("crc32c-%08x-%d", a.CRC32C, a.Size)), Generation: a.Generation} // composed objects have no MD5
		at := slices.IndexFunc(sources, func(s dataset.LabelSource) bool { return s.Name == n })
		switch {
		case at < 0:
			sources, changed = append(sources, live), true
		case sources[at].Generation >= live.Generation:
		case sources[at].MD5 != live.MD5 || roleOf(n) == marker || s.State == dataset.Rejected || in.labelsKey(s.Sources) != s.LabelsMD5:
			sources[at], changed = live, true // what was rejected is judged again when it is dropped again
		}
	}
	slices.SortFunc(sources, func(x, y dataset.LabelSource) int { return strings.Compare(x.Name, y.Name) })
	return sources, changed, nil
}

// merged is what two processes know together: of each source the later.
func merged(x, y []dataset.LabelSource) []dataset.LabelSource {
	all := slices.Concat(x, y)
	slices.SortFunc(all, func(a, b dataset.LabelSource) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), cmp.Compare(b.Generation, a.Generation))
	})
	return slices.CompactFunc(all, func(a, b dataset.LabelSource) bool { return a.Name == b.Name })
}

// generation of labels is the largest of their sources'.
func generation(sources []dataset.LabelSource) (newest int64) {
	for _, s := range sources {
		newest = max(newest, s.Generation)
	}
	return newest
}

// labelsKey names labels by what they are read from; a policy's class map is
// part of that, and what a marker stands for is added by readLabels. A single
// document goes by its own MD5.
func (in *Intake) labelsKey(sources []dataset.LabelSource) string {
	zero := in.o.Policy.Classes.Zero()
	if len(sources) == 1 && roleOf(sources[0].Name) == document && zero {
		return sources[0].MD5
	}
	h := sha256.New()
	for _, s := range sources {
		fmt.Fprintf(h, "%q %s\n", s.Name, s.MD5)
	}
	if !zero {
		classes, _ := json.Marshal(in.o.Policy.Classes) // plain data
		h.Write(classes)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// lacking says what labels cannot be read without. It is no failure: the batch
// waits.
type lacking struct{ what, object string }

func (l lacking) Error() string { return "waiting for " + l.what }

// goneError says that a source was deleted.
type goneError struct{ name string }

func (g goneError) Error() string { return g.name + " was deleted" }

// takeLabels makes what is read from the batch's sources its labels, after the
// object name was written.
func (in *Intake) takeLabels(ctx context.Context, batch, name string) (dataset.BatchStatus, error) {
	var s dataset.BatchStatus
	if _, err := blob.ReadJSON(ctx, in.datasets, dataset.StatusObject(batch), &s); err != nil && !errors.Is(err, errs.NotFound) {
		return s, err
	}
	sources, changed, err := in.refresh(ctx, s, batch, name)
	if err != nil {
		return s, err
	}
	gone := map[dataset.LabelSource]bool{}
	for changed && len(sources) > 0 {
		l, key, err := in.readLabels(ctx, batch, sources)
		var lost goneError
		var lacks lacking
		switch code, permanent := errs.Reason(err); {
		case errors.As(err, &lost):
			if at := slices.IndexFunc(sources, func(s dataset.LabelSource) bool { return s.Name == lost.name }); at >= 0 {
				gone[sources[at]] = true
				sources = slices.Delete(slices.Clone(sources), at, at+1)
			}
			continue
		case errors.As(err, &lacks):
		case permanent:
			return in.reject(ctx, batch, sources, code, err)
		case err != nil:
			return s, err
		default:
			if err := in.put(ctx, dataset.LabelRecordObject(batch, key), l); err != nil {
				return s, err
			}
		}
		again := false
		s, err = in.update(ctx, batch, func(s *dataset.BatchStatus) error {
			there := slices.DeleteFunc(slices.Clone(s.Sources), func(s dataset.LabelSource) bool { return gone[s] })
			if all := merged(there, sources); !slices.Equal(all, sources) {
				again, sources = true, all // another process learnt of another source
				return blob.ErrUnchanged
			}
			if slices.Equal(s.Sources, sources) && s.Lacks == lacks.what {
				return blob.ErrUnchanged
			}
			s.Sources, s.Lacks, s.Awaits = sources, lacks.what, lacks.object
			if lacks.what != "" {
				s.State = cmp.Or(s.State, dataset.Waiting)
				return nil
			}
			s.State, s.LabelsMD5, s.LabelsGeneration = dataset.Waiting, key, generation(sources)
			s.Photos, s.Missing, s.Examples, s.Findings = len(l.Photos), len(l.Photos), nil, nil
			return nil
		})
		if err != nil || !again {
			return s, err
		}
	}
	return in.update(ctx, batch, func(*dataset.BatchStatus) error { return blob.ErrUnchanged })
}
