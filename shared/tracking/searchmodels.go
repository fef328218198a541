package tracking

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/tracking/fault"
	"github.com/litterloop/litterloop/shared/tracking/filter"
)

// ModelQuery is a search of logged models. Datasets, when given, are those whose
// metrics count.
type ModelQuery struct {
	Experiments []string     `json:"experiment_ids"`
	Filter      string       `json:"filter_string"`
	Order       []ModelOrder `json:"order_by"`
	Datasets    []DatasetRef `json:"-"`
	Page        Page         `json:"-"`
}

// ModelOrder is one element of the order of a search of logged models.
type ModelOrder struct {
	Field     string `json:"field_name"` // an attribute, or metrics.KEY
	Ascending bool   `json:"ascending"`
	Dataset   string `json:"dataset_name,omitempty"`
	Digest    string `json:"dataset_digest,omitempty"`
}

// DatasetRef names a data set; an empty digest stands for any.
type DatasetRef struct{ Name, Digest string }

func (d DatasetRef) is(m ModelMetric) bool {
	return (d.Name == "" || d.Name == m.Dataset) && (d.Digest == "" || d.Digest == m.Digest)
}

// modelToken is the page token of a search, with the search that it is of.
type modelToken struct {
	ModelQuery
	Offset int `json:"offset"`
}

// SearchModels returns a page of the logged models that match, in order, and the
// token of the next page.
func (s *Store) SearchModels(ctx context.Context, q ModelQuery) (page []LoggedModel, next string, err error) {
	offset, err := q.offset()
	if err != nil {
		return nil, "", err
	}
	clauses, err := filter.LoggedModels.Parse(q.Filter)
	if err != nil {
		return nil, "", err
	}
	orders, err := q.orders()
	if err != nil {
		return nil, "", err
	}
	for _, d := range q.Datasets {
		if d.Name == "" {
			return nil, "", fault.Invalid("`dataset_name` in the `datasets` clause must be specified.")
		}
	}
	all, err := s.loggedModels(ctx)
	if err != nil {
		return nil, "", err
	}
	found := slices.DeleteFunc(all, func(m LoggedModel) bool {
		return m.Lifecycle == Deleted || !slices.Contains(q.Experiments, m.Experiment) || !q.match(clauses, m)
	})
	slices.SortFunc(found, func(a, b LoggedModel) int {
		for i, o := range orders {
			ref := DatasetRef{q.Order[i].Dataset, q.Order[i].Digest}
			if c := filter.Compare([]filter.Order{o}, filter.LoggedModels, modelSubject{a, []DatasetRef{ref}}, modelSubject{b, []DatasetRef{ref}}); c != 0 {
				return c
			}
		}
		return cmp.Or(cmp.Compare(b.Created, a.Created), strings.Compare(a.ID, b.ID))
	})
	begin := min(offset, len(found))
	end := min(begin+q.Page.Max, len(found))
	if end < len(found) {
		token, err := json.Marshal(modelToken{q, end})
		if err != nil {
			return nil, "", err
		}
		next = base64.StdEncoding.EncodeToString(token)
	}
	return found[begin:end], next, nil
}

func (q ModelQuery) offset() (int, error) {
	if q.Page.Token == "" {
		return 0, nil
	}
	var t modelToken
	data, err := base64.StdEncoding.DecodeString(q.Page.Token)
	if err == nil {
		err = json.Unmarshal(data, &t)
	}
	if err != nil || t.Offset < 0 {
		return 0, fault.Invalid("Invalid page token: %s.", q.Page.Token)
	}
	switch {
	case !slices.Equal(t.Experiments, q.Experiments):
		return 0, fault.Invalid("Experiment IDs in the page token do not match the requested experiment IDs. Expected: %s. Found: %s",
			pythonList(q.Experiments), pythonList(t.Experiments))
	case t.Filter != q.Filter:
		return 0, fault.Invalid("Filter string in the page token does not match the requested filter string. Expected: %s. Found: %s", q.Filter, t.Filter)
	case !slices.Equal(t.Order, q.Order):
		return 0, fault.Invalid("Order by in the page token does not match the requested order by.")
	}
	return t.Offset, nil
}

func (q ModelQuery) orders() ([]filter.Order, error) {
	var orders []filter.Order
	for _, o := range q.Order {
		entity, metric, dotted := strings.Cut(o.Field, ".")
		switch {
		case dotted && entity != "metrics":
			return nil, fault.Invalid("Invalid order by field name: %s. Only metrics are supported.", o.Field)
		case dotted:
			orders = append(orders, filter.Order{Entity: filter.Metric, Key: metric, Descending: !o.Ascending})
		default:
			parsed, err := filter.LoggedModels.ParseOrder([]string{o.Field})
			if err != nil {
				return nil, fault.Invalid("Invalid order by field name: %s", o.Field)
			}
			parsed[0].Descending = !o.Ascending
			orders = append(orders, parsed[0])
		}
	}
	return orders, nil
}

// match tells whether a model passes: any of a metric's points on one of the
// data sets will do.
func (q ModelQuery) match(clauses []filter.Clause, m LoggedModel) bool {
	refs := q.Datasets
	if len(refs) == 0 {
		refs = []DatasetRef{{}}
	}
	metrics := false
	for _, c := range clauses {
		if c.Entity != filter.Metric {
			if !filter.Match([]filter.Clause{c}, modelSubject{m, nil}) {
				return false
			}
			continue
		}
		metrics = true
		if !slices.ContainsFunc(m.Metrics, func(p ModelMetric) bool {
			single := LoggedModel{Metrics: []ModelMetric{p}}
			return filter.Match([]filter.Clause{c}, modelSubject{single, refs})
		}) {
			return false
		}
	}
	if metrics || len(q.Datasets) == 0 {
		return true
	}
	return slices.ContainsFunc(m.Metrics, func(p ModelMetric) bool {
		return slices.ContainsFunc(refs, func(r DatasetRef) bool { return r.is(p) })
	})
}

// loggedModels returns every logged model. What did not change since the last
// call is not read again.
func (s *Store) loggedModels(ctx context.Context) ([]LoggedModel, error) {
	var objects []blob.Attrs
	for a, err := range s.bucket.List(ctx, modelsPrefix) {
		if err != nil {
			return nil, fmt.Errorf("list logged models: %w", err)
		}
		objects = append(objects, a)
	}
	all := make([]LoggedModel, len(objects))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for i, a := range objects {
		version := fmt.Sprintf("%s#%d", a.Name, a.Generation)
		if known, ok := s.models.Get(version); ok {
			all[i] = known
			continue
		}
		g.Go(func() error {
			generation, err := blob.ReadJSON(ctx, s.bucket, a.Name, &all[i])
			if errors.Is(err, errs.NotFound) {
				all[i].Lifecycle = Deleted
				return nil
			}
			if err == nil {
				s.models.Add(fmt.Sprintf("%s#%d", a.Name, generation), all[i])
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, fmt.Errorf("logged models: %w", err)
	}
	return all, nil
}

// modelSubject is a logged model whose metrics on some data sets count.
type modelSubject struct {
	LoggedModel
	refs []DatasetRef
}

// Number implements filter.Subject: of a metric, the point logged last.
func (m modelSubject) Number(e filter.Entity, key string) (float64, bool) {
	switch {
	case e == filter.Attribute && key == "creation_timestamp":
		return float64(m.Created), true
	case e == filter.Attribute:
		return float64(m.Updated), true
	}
	var last *ModelMetric
	for i, p := range m.Metrics {
		counts := slices.ContainsFunc(m.refs, func(r DatasetRef) bool { return r.is(p) })
		if p.Key == key && counts && (last == nil || cmp.Or(cmp.Compare(last.Time, p.Time), cmp.Compare(last.Step, p.Step)) < 0) {
			last = &m.Metrics[i]
		}
	}
	if last == nil {
		return 0, false
	}
	return last.Value, true
}

// Texts implements filter.Subject.
func (m modelSubject) Texts(e filter.Entity, key string) []string {
	switch e {
	case filter.Param:
		return lookup(m.Params, key)
	case filter.Tag:
		return lookup(m.Tags, key)
	}
	v := map[string]string{
		"name": m.Name, "model_id": m.ID, "model_type": m.Type, "status": string(m.Status),
		"source_run_id": m.Run, "experiment_id": m.Experiment, "artifact_location": m.ArtifactURI,
	}[key]
	if v == "" {
		return nil
	}
	return []string{v}
}
