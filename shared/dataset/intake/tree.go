package intake

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/dataset"
	"github.com/litterloop/litterloop/shared/dataset/archive"
	"github.com/litterloop/litterloop/shared/dataset/dvcdrop"
	"github.com/litterloop/litterloop/shared/dataset/labelformat"
	"github.com/litterloop/litterloop/shared/errs"
)

// tree is the files that a batch's labels are read from, wherever they lie.
type tree struct {
	open   map[string]func(context.Context) (io.ReadCloser, error)
	pushed map[string]string // objects of files that `dvc push` brought, by name
	marked []string          // names and MD5s of what a marker stands for
	report dataset.Report
}

// Names implements labelformat.Tree.
func (t *tree) Names() []string { return slices.Sorted(maps.Keys(t.open)) }

// Open implements labelformat.Tree.
func (t *tree) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	return t.open[name](ctx)
}

// readLabels reads the labels of a batch, and names them by their content. Besides errors of a bucket and bad
// input, which is permanent, there are lacking and goneError.
func (in *Intake) readLabels(ctx context.Context, batch string, sources []dataset.LabelSource) (l dataset.Labels, key string, err error) {
	t := &tree{open: map[string]func(context.Context) (io.ReadCloser, error){}, pushed: map[string]string{}}
	// Archives first, the oldest first: what lies in the batch itself counts more.
	ordered := slices.Clone(sources)
	slices.SortStableFunc(ordered, func(x, y dataset.LabelSource) int {
		if a, b := roleOf(x.Name) == archived, roleOf(y.Name) == archived; a != b {
			if a {
				return -1
			}
			return 1
		}
		return int(x.Generation - y.Generation)
	})
	for _, s := range ordered {
		switch roleOf(s.Name) {
		case archived:
			err = in.addArchive(ctx, t, batch, s)
		case pointer:
			err = in.addPushed(ctx, t, batch, s)
		case marker:
			err = in.addAll(ctx, t, batch)
		case document:
			t.open[s.Name] = in.source(batch, s.Name)
		}
		if err != nil {
			return l, "", err
		}
	}
	if _, _, ok := labelformat.Find(t.Names()); !ok {
		return l, "", lacking{what: "labels: " + batch + "/" + dataset.LabelsFile}
	}
	if l, err = labelformat.Read(ctx, t, in.o.Policy); err != nil {
		return l, "", err
	}
	t.report.Merge(l.Findings)
	l.Findings = t.report.Findings()
	t.place(l)
	if key = in.labelsKey(sources); len(t.marked) > 0 {
		key = dataset.MD5Hex([]byte(key + strings.Join(t.marked, "")))
	}
	return l, key, nil
}

// source opens an object of the batch that was there when the labels changed.
func (in *Intake) source(batch, name string) func(context.Context) (io.ReadCloser, error) {
	return func(ctx context.Context) (io.ReadCloser, error) {
		r, _, err := in.incoming.Open(ctx, batch+"/"+name, 0, -1)
		if errors.Is(err, errs.NotFound) {
			return nil, goneError{name}
		}
		return r, err
	}
}

// addAll adds everything that lies in the batch itself.
func (in *Intake) addAll(ctx context.Context, t *tree, batch string) error {
	prefix := batch + "/"
	for a, err := range in.incoming.List(ctx, prefix) {
		if err != nil {
			return err
		}
		if name := a.Name[len(prefix):]; name != "" && !strings.HasSuffix(name, "/") {
			t.open[composed(name)] = in.source(batch, name)
			if md5 := ""; !labelformat.Junk(name) {
				if archive.IsText(name) {
					md5 = a.MD5
				}
				t.marked = append(t.marked, fmt.Sprintf("%q %s\n", name, md5))
			}
		}
	}
	return nil
}

// addPushed adds the files that a .dvc file of the batch points to.
func (in *Intake) addPushed(ctx context.Context, t *tree, batch string, s dataset.LabelSource) error {
	text, _, err := blob.ReadAll(ctx, in.incoming, batch+"/"+s.Name)
	if errors.Is(err, errs.NotFound) {
		return goneError{s.Name}
	}
	if err != nil {
		return err
	}
	md5, err := dvcdrop.ParsePointer(text)
	if err != nil {
		return err
	}
	object := dvcdrop.ListingObject(md5)
	listing, _, err := blob.ReadAll(ctx, in.incoming, batch+"/"+object)
	if errors.Is(err, errs.NotFound) {
		return lacking{what: "what `dvc push` brings: " + batch + "/" + object, object: object}
	}
	if err != nil {
		return err
	}
	files, unsafe, err := dvcdrop.ParseListing(listing, md5)
	if err != nil {
		return err
	}
	for _, n := range unsafe {
		t.report.Add(dataset.NameUnsafe, n)
	}
	dir := labelformat.Nested(slices.Collect(maps.Keys(files)))
	for n, md5 := range files {
		object := dataset.ContentObject(md5)
		n = strings.TrimPrefix(n, dir)
		t.pushed[n] = object
		t.open[n] = func(ctx context.Context) (io.ReadCloser, error) {
			r, _, err := in.incoming.Open(ctx, batch+"/"+object, 0, -1)
			if errors.Is(err, errs.NotFound) {
				return nil, lacking{what: "what `dvc push` brings: " + batch + "/" + object, object: object}
			}
			return r, err
		}
	}
	return nil
}

// place tells where photos lie that `dvc push` brought.
func (t *tree) place(l dataset.Labels) {
	if len(t.pushed) == 0 {
		return
	}
	index := make(map[string]int, len(l.Photos))
	for i, p := range l.Photos {
		index[p.Name] = i
	}
	finder := l.Finder()
	best := map[int]int{}
	for _, n := range slices.Sorted(maps.Keys(t.pushed)) {
		name, rank, ok := finder.Find(n)
		if !ok {
			continue
		}
		i := index[name]
		if have, placed := best[i]; !placed || rank < have {
			best[i], l.Photos[i].Object = rank, t.pushed[n]
		}
	}
}
