package tracking

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/litterloop/litterloop/shared/tracking/filter"
)

// SearchExperiments returns a page of the experiments that match, in order, and
// the token of the next page.
func (s *Store) SearchExperiments(ctx context.Context, filterString string, order []string, view View, p Page) (page []Experiment, next string, err error) {
	if err := p.check(); err != nil {
		return nil, "", err
	}
	clauses, err := filter.Experiments.Parse(filterString)
	if err != nil {
		return nil, "", err
	}
	orders, err := filter.Experiments.ParseOrder(order)
	if err != nil {
		return nil, "", err
	}
	all, err := s.experiments(ctx)
	if err != nil {
		return nil, "", err
	}
	var found []Experiment
	for _, e := range all {
		if view.shows(e.Lifecycle) && filter.Match(clauses, e) {
			found = append(found, e)
		}
	}
	slices.SortFunc(found, func(a, b Experiment) int {
		c := filter.Compare(orders, filter.Experiments, a, b)
		if len(orders) == 0 {
			c = cmp.Compare(b.Created, a.Created)
		}
		return cmp.Or(c, cmp.Compare(len(b.ID), len(a.ID)), strings.Compare(b.ID, a.ID))
	})
	return Slice(found, p)
}

// Number implements filter.Subject.
func (e Experiment) Number(_ filter.Entity, key string) (float64, bool) {
	if key == "creation_time" {
		return float64(e.Created), true
	}
	return float64(e.Updated), true
}

// Texts implements filter.Subject.
func (e Experiment) Texts(of filter.Entity, key string) []string {
	switch {
	case of == filter.Tag:
		return lookup(e.Tags, key)
	case key == "name":
		return []string{e.Name}
	}
	return []string{e.ID}
}
