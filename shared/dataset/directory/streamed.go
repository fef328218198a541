package directory

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/litterloop/litterloop/shared/dataset"
	"github.com/litterloop/litterloop/shared/dataset/bulk"
	"github.com/litterloop/litterloop/shared/errs"
)

// streamed converts COCO labels without photos in memory that does not grow with
// them; ok is false for a source that is of another kind.
func streamed(ctx context.Context, src *source, scratch, made string, o Options) (s Summary, ok bool, err error) {
	labels, rest := src.files[dataset.LabelsFile], len(src.files)-1
	if labels == "" || rest > 0 || src.root == "" || !o.Policy.Classes.Zero() {
		return s, false, nil
	}
	info, err := os.Stat(labels)
	if err != nil {
		return s, false, err
	}
	if err := os.MkdirAll(scratch, 0o777); err != nil {
		return s, false, err
	}
	b := bulk.Options{Policy: o.Policy, Scratch: scratch, Progress: o.Progress}
	if !o.LabelsOnly {
		b.Photos = src.none
	}
	r, err := bulk.Convert(ctx, reopened(labels), bulk.Shards(info.Size()), made, b)
	if errors.Is(err, errPhotosBeside) {
		return s, false, os.RemoveAll(scratch)
	}
	return summaryOf(r), true, err
}

func reopened(file string) bulk.Source {
	return func() (io.ReadCloser, error) { return os.Open(file) }
}

// errPhotosBeside: there are photos beside the labels, which tell their sizes.
var errPhotosBeside = errors.New("photos are beside the labels")

// none fails unless no photo is beside the labels.
func (s *source) none(names []string) error {
	top, err := s.top()
	if err != nil {
		return err
	}
	for _, name := range names {
		for _, candidate := range []string{name, "images/" + name} {
			if first, _, _ := strings.Cut(candidate, "/"); top[first] && onDisk(s.root, candidate) != "" {
				return errPhotosBeside
			}
		}
	}
	return nil
}

func summaryOf(r bulk.Result) Summary {
	s := Summary{Classes: len(r.Classes), Splits: r.Splits, LabelsOnly: true}
	for _, n := range r.Splits {
		s.Images += n.Photos
		s.Boxes += n.Boxes
	}
	s.sort(r.Findings)
	return s
}

// ConvertShard is one of n tasks that convert COCO labels without photos
// together, by their declared sizes: each makes its part in out.parts, which all
// of them see, and the last makes the data set of all parts. merged tells whether
// it is made; every task and every repetition ends in the same.
func ConvertShard(ctx context.Context, from, out string, shard, n int, o Options) (s Summary, merged bool, err error) {
	defer errs.Wrap(&err, "convert %s to %s, shard %d of %d", from, out, shard, n)
	if _, err := os.Stat(filepath.Join(out, dataset.DataYAMLFile)); err == nil {
		return s, true, nil
	}
	parts := out + ".parts"
	if err := os.MkdirAll(parts, 0o777); err != nil {
		return s, false, err
	}
	scratch, err := os.MkdirTemp("", "litterloop-shard-*")
	if err != nil {
		return s, false, err
	}
	defer os.RemoveAll(scratch)
	b := bulk.Options{Policy: o.Policy, Scratch: scratch, Progress: o.Progress}
	if err := bulk.MakePart(ctx, reopened(from), shard, n, parts, b); err != nil {
		return s, false, err
	}
	if !bulk.Complete(parts, n) {
		return s, false, nil
	}
	// Two tasks may both be last: each merges for itself, and one renames first.
	made := filepath.Join(filepath.Dir(out), fmt.Sprintf(".%s.merge-%d", filepath.Base(out), shard))
	if err := os.RemoveAll(made); err != nil {
		return s, false, err
	}
	defer os.RemoveAll(made)
	if err := os.MkdirAll(made, 0o777); err != nil {
		return s, false, err
	}
	r, err := bulk.Merge(ctx, parts, n, made, b)
	if err != nil {
		return s, false, err
	}
	if err := os.Remove(out); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrExist) {
		return s, false, err
	}
	err = os.Rename(made, out)
	if _, there := os.Stat(filepath.Join(out, dataset.DataYAMLFile)); err != nil && there == nil {
		err = nil
	}
	return summaryOf(r), err == nil, err
}
