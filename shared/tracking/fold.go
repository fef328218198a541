package tracking

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/errs"
)

// maxHistory is how many objects of compacted points a run has at most before
// they become one.
const maxHistory = 8

// orphan is the age at which a marker without a run's document is of a writer
// that died: no call takes nearly as long.
const orphan = 24 * time.Hour

// Fold compacts the tails of up to limit runs, those first that have been quiet
// for longest, and takes their state into the index. It returns how many runs
// are left. Any number of processes may fold at once, and die at it.
//
// The order is what makes that safe. A run's points go into a new object; its
// document, by compare-and-swap, takes them up and says that it is indexed; the
// index takes the run; then the segments go, and the marker if it is still the
// same. Whoever changes an indexed document writes the marker anew before.
func (s *Store) Fold(ctx context.Context, limit int) (left int, err error) {
	tails, err := s.tails(ctx, tailPrefix)
	if err != nil {
		return 0, err
	}
	runs := slices.SortedFunc(maps.Keys(tails), func(a, b string) int {
		return cmp.Or(tails[a].newest.Compare(tails[b].newest), strings.Compare(a, b))
	})
	left = max(0, len(runs)-limit)
	runs = runs[:len(runs)-left]
	folded := make([]*foldedRun, len(runs))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for i, run := range runs {
		g.Go(func() (err error) {
			folded[i], err = s.fold(gctx, run, tails[run])
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return 0, err
	}
	folded = slices.DeleteFunc(folded, func(f *foldedRun) bool { return f == nil })
	entries := make([]*entry, len(folded))
	for i, f := range folded {
		entries[i] = &f.entry
	}
	if err := s.putIndex(ctx, entries); err != nil {
		return 0, err
	}
	g, gctx = errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for _, f := range folded {
		g.Go(func() error { return s.sweep(gctx, f) })
	}
	return left, g.Wait()
}

// foldedRun is a run whose document says that it is indexed.
type foldedRun struct {
	entry
	tail     tail
	replaced []string // history objects that one object holds now
}

// fold takes a run's tail into its document; nil when there is nothing to index,
// or somebody else changed it meanwhile.
func (s *Store) fold(ctx context.Context, run string, t tail) (*foldedRun, error) {
	st, err := s.complete(ctx, run, t)
	if errors.Is(err, errs.NotFound) {
		if s.now().Sub(t.newest) > orphan {
			return nil, s.remove(ctx, append(t.segments, marker(run)))
		}
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	d := st.document
	if err := s.logToModels(ctx, run, s.modelsOf(ctx, st.fresh)); err != nil {
		return nil, err
	}
	before := d.History
	if err := s.compact(ctx, &d, st.fresh, true); errors.Is(err, errs.Conflict) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	for _, object := range t.segments {
		if name := segmentName(object); !strings.HasPrefix(name, unnamed) && !slices.Contains(d.Folded, name) {
			d.Folded = append(d.Folded, name)
		}
	}
	d.Indexed = true
	_, err = blob.WriteJSON(ctx, s.bucket, runDocument(run), d, d.generation)
	if errors.Is(err, errs.Conflict) {
		return nil, s.remove(ctx, without(d.History, before)) // the next fold tries again
	}
	if err != nil {
		return nil, fmt.Errorf("compact run %s: %w", run, err)
	}
	return &foldedRun{entry: entry{Run: d.Run, Metrics: d.Latest}, tail: t, replaced: without(before, d.History)}, nil
}

// compact moves points, and those that d holds, into an object of d's history;
// with merge into one with the others, when those are many. errs.Conflict tells
// that the history is not d's any more.
func (s *Store) compact(ctx context.Context, d *document, points []Metric, merge bool) error {
	if len(points) == 0 {
		return nil
	}
	d.Latest, d.Points = latest(d.Latest, points), nil
	all := slices.Clone(points)
	if merge && len(d.History) >= maxHistory {
		old, gone, err := s.read(ctx, d.History)
		if err != nil {
			return err
		}
		if gone {
			return fmt.Errorf("compact run %s: its history changed meanwhile: %w", d.ID, errs.Conflict)
		}
		all = append(all, slices.Concat(old...)...)
		d.History = nil
	}
	object := runPrefix(d.ID) + "metrics/" + uuid.NewString() + ".json"
	if _, err := blob.WriteJSON(ctx, s.bucket, object, sorted(all), blob.Absent); err != nil {
		return fmt.Errorf("compact metrics of run %s: %w", d.ID, err)
	}
	d.History = append(slices.Clone(d.History), object)
	return nil
}

// sweep removes what a folded run's document and the index hold now.
func (s *Store) sweep(ctx context.Context, f *foldedRun) error {
	if err := s.remove(ctx, append(f.tail.segments, f.replaced...)); err != nil {
		return err
	}
	if f.tail.marker == 0 {
		return nil
	}
	err := s.bucket.Delete(ctx, marker(f.ID), f.tail.marker)
	if errors.Is(err, errs.NotFound) || errors.Is(err, errs.Conflict) {
		return nil // marked anew: the next fold's
	}
	return err
}

func (s *Store) remove(ctx context.Context, objects []string) error {
	for _, object := range objects {
		if err := s.bucket.Delete(ctx, object, blob.Any); err != nil && !errors.Is(err, errs.NotFound) {
			return err
		}
	}
	return nil
}

// without returns the elements of a that are not in b.
func without(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(s string) bool { return slices.Contains(b, s) })
}
