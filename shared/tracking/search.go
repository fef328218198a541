package tracking

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/tracking/fault"
	"github.com/litterloop/litterloop/shared/tracking/filter"
)

// Query is a search of runs.
type Query struct {
	Experiments []string
	Filter      string
	Order       []string
	View        View
	Page
}

// MaxRuns is the most runs or experiments that one page holds.
const MaxRuns = 50000

func (p Page) check() error {
	if p.Max < 1 {
		return fault.Invalid("Invalid value %d for parameter 'max_results' supplied. It must be a positive integer", p.Max)
	}
	if p.Max > MaxRuns {
		return fault.Invalid("Invalid value %d for parameter 'max_results' supplied. It must be at most %d", p.Max, MaxRuns)
	}
	return nil
}

// SearchRuns returns a page of the runs that match, in order, and the token of
// the next page. It sees everything that was acknowledged before it began.
func (s *Store) SearchRuns(ctx context.Context, q Query) (page []RunData, next string, err error) {
	if err := q.check(); err != nil {
		return nil, "", err
	}
	clauses, err := filter.Runs.Parse(q.Filter)
	if err != nil {
		return nil, "", err
	}
	orders, err := filter.Runs.ParseOrder(q.Order)
	if err != nil {
		return nil, "", err
	}
	all, err := s.runs(ctx, q.Experiments)
	if err != nil {
		return nil, "", err
	}
	found := all[:0]
	for _, r := range all {
		if q.View.shows(r.Lifecycle) && filter.Match(clauses, r) {
			found = append(found, r)
		}
	}
	slices.SortFunc(found, func(a, b *RunData) int {
		return cmp.Or(filter.Compare(orders, filter.Runs, a, b), cmp.Compare(b.Start, a.Start), strings.Compare(a.ID, b.ID))
	})
	part, next, err := Slice(found, q.Page)
	for _, r := range part {
		page = append(page, *r)
	}
	return page, next, err
}

// runs returns every run of some experiments, deleted or not.
func (s *Store) runs(ctx context.Context, experiments []string) ([]*RunData, error) {
	wanted := map[string]bool{}
	for _, e := range experiments {
		wanted[e] = true
	}
	catalogued := async(func() (catalogue, error) { return s.experiments(ctx) })
	// The tail first: what leaves it meanwhile is in the index by then.
	tails, err := s.tails(ctx, tailPrefix)
	if err != nil {
		return nil, err
	}
	var v view
	var fresh []*RunData
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) { v, err = s.loadIndex(gctx, func(e string) bool { return wanted[e] }); return err })
	g.Go(func() (err error) { fresh, err = s.changed(gctx, tails); return err })
	if err := g.Wait(); err != nil {
		return nil, err
	}
	known, err := catalogued()
	if err != nil {
		return nil, err
	}
	var all []*RunData
	for _, entries := range v.entries {
		for _, e := range entries {
			if _, changed := tails[e.ID]; !changed && wanted[e.Experiment] {
				all = append(all, &RunData{e.Run, e.Metrics})
			}
		}
	}
	for _, r := range fresh {
		if wanted[r.Experiment] {
			all = append(all, r)
		}
	}
	for _, r := range all {
		r.Lifecycle = known.lifecycle(r.Run)
	}
	return all, nil
}

// changed reads the runs that have a tail. One without a document is just being
// made, or never was.
func (s *Store) changed(ctx context.Context, tails map[string]tail) (runs []*RunData, err error) {
	var mu sync.Mutex
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for run, t := range tails {
		g.Go(func() error {
			st, err := s.complete(ctx, run, t)
			if errors.Is(err, errs.NotFound) {
				return nil
			}
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			runs = append(runs, &RunData{st.Run, st.metrics()})
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, fmt.Errorf("read runs that changed: %w", err)
	}
	return runs, nil
}

// Number implements filter.Subject.
func (r *RunData) Number(e filter.Entity, key string) (float64, bool) {
	switch {
	case e == filter.Metric:
		m, ok := r.Metrics[key]
		return m.Value, ok
	case key == "start_time":
		return float64(r.Start), true
	}
	return float64(r.End), r.End != 0
}

// Texts implements filter.Subject.
func (r *RunData) Texts(e filter.Entity, key string) []string {
	switch e {
	case filter.Param:
		return lookup(r.Params, key)
	case filter.Tag:
		return lookup(r.Tags, key)
	case filter.Data:
		return r.datasets(key)
	}
	switch key {
	case "run_id":
		return []string{r.ID}
	case "run_name":
		return []string{r.Name}
	case "status":
		return []string{string(r.Status)}
	case "user_id":
		return []string{r.User}
	}
	return []string{r.ArtifactURI}
}

func (r *RunData) datasets(key string) (values []string) {
	for _, in := range r.Inputs {
		switch key {
		case "name":
			values = append(values, in.Dataset.Name)
		case "digest":
			values = append(values, in.Dataset.Digest)
		case "context":
			for _, t := range in.Tags {
				if t.Key == TagContext {
					values = append(values, t.Value)
				}
			}
		}
	}
	return values
}

func lookup(m map[string]string, key string) []string {
	if v, ok := m[key]; ok {
		return []string{v}
	}
	return nil
}
