package tracking

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/tracking/fault"
)

// Batch is what is logged to a run at once: all of it or nothing.
type Batch struct {
	Metrics []Metric
	Params  []Tag
	Tags    []Tag
}

// Limits of a batch.
const (
	maxBatchMetrics = 1000
	maxBatchOthers  = 100
	maxBatch        = 1000
)

// check refuses batches as MLflow does, with its messages.
func (b Batch) check() error {
	for i, m := range b.Metrics {
		if err := checkMetric(fmt.Sprintf("metrics[%d].", i), m); err != nil {
			return err
		}
	}
	for i, p := range b.Params {
		if err := checkKey("Param key", fmt.Sprintf("params[%d].key", i), p.Key); err != nil {
			return err
		}
	}
	for i, t := range b.Tags {
		field := fmt.Sprintf("tags[%d].key", i)
		if err := checkKey(field, field, t.Key); err != nil {
			return err
		}
	}
	for _, l := range []struct {
		what         string
		limit, count int
	}{
		{"metrics", maxBatchMetrics, len(b.Metrics)},
		{"params", maxBatchOthers, len(b.Params)},
		{"tags", maxBatchOthers, len(b.Tags)},
		{"metrics, params, and tags", maxBatch, len(b.Metrics) + len(b.Params) + len(b.Tags)},
	} {
		if l.count > l.limit {
			return fault.Invalid("A batch logging request can contain at most %d %s. Got %d %s. Please split up %s across multiple requests and try again.",
				l.limit, l.what, l.count, l.what, l.what)
		}
	}
	seen, twice := map[string]bool{}, []string{}
	for _, p := range b.Params {
		if seen[p.Key] {
			twice = append(twice, p.Key)
		}
		seen[p.Key] = true
	}
	if len(twice) > 0 {
		return fault.Invalid("Duplicate parameter keys have been submitted: %s. Please ensure the request contains only one param value per param key.", pythonList(twice))
	}
	return nil
}

func checkMetric(path string, m Metric) error {
	if err := CheckKey(path+"name", m.Key); err != nil {
		return err
	}
	if m.Time < 0 {
		return fault.Invalid("Invalid value %d for parameter '%stimestamp' supplied: metric '%s' (value=%s). Timestamp must be a nonnegative long (64-bit integer) ",
			m.Time, path, m.Key, pythonFloat(m.Value))
	}
	return checkKey("Metric name", "name", m.Key)
}

// LogMetric logs one point to an active run.
func (s *Store) LogMetric(ctx context.Context, run string, m Metric) error {
	if err := checkMetric("", m); err != nil {
		return err
	}
	return s.log(ctx, run, Batch{Metrics: []Metric{m}})
}

// LogBatch logs to an active run. Equal points are kept once, so a batch may be
// logged again when its answer was lost.
func (s *Store) LogBatch(ctx context.Context, run string, b Batch) error {
	if !runID.MatchString(run) {
		return fault.Invalid("Invalid value %s for parameter 'run_id' supplied.", quote(run))
	}
	if err := b.check(); err != nil {
		return err
	}
	return s.log(ctx, run, b)
}

func (s *Store) log(ctx context.Context, run string, b Batch) error {
	for i := range b.Metrics {
		b.Metrics[i].Value = Finite(b.Metrics[i].Value)
	}
	if len(b.Params)+len(b.Tags) > 0 {
		return s.logTogether(ctx, run, b)
	}
	d, err := s.load(ctx, run)
	if err != nil {
		return err
	}
	if err := d.checkActive(d.Lifecycle); err != nil {
		return err
	}
	// A segment of its own needs no swap of the run's document, which a bucket
	// lets change about once a second.
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.append(ctx, run, s.uniqueSegment(), b.Metrics) })
	g.Go(func() error { return s.logToModels(ctx, run, s.modelsOf(ctx, b.Metrics)) })
	return g.Wait()
}

// maxInline is how many points a run's document holds at most before they go
// into a segment.
const maxInline = 2000

// logTogether writes points with parameters or tags: in the same document, so
// that one write does it all.
func (s *Store) logTogether(ctx context.Context, run string, b Batch) error {
	params, tags := map[string]string{}, map[string]string{}
	for _, p := range b.Params {
		params[p.Key] = p.Value
	}
	for _, t := range b.Tags {
		tags[t.Key] = t.Value
	}
	models := s.modelsOf(ctx, b.Metrics)
	_, err := s.update(ctx, run, func(d *document) error {
		err := d.addParams(params, false)
		if errors.Is(err, blob.ErrUnchanged) && len(b.Tags)+len(b.Metrics) > 0 {
			err = nil
		}
		if err != nil {
			return err
		}
		d.setTags(tags)
		if len(d.Points)+len(b.Metrics) > maxInline {
			if err := s.compact(ctx, d, d.Points, false); err != nil {
				return err
			}
		}
		d.Points = append(d.Points, b.Metrics...)
		return nil
	})
	if err != nil {
		return err
	}
	return s.logToModels(ctx, run, models)
}

// modelPoints are points of a logged model, which is being read.
type modelPoints struct {
	points []Metric
	model  func() (LoggedModel, error)
}

// modelsOf begins to read the logged models that points are of.
func (s *Store) modelsOf(ctx context.Context, points []Metric) map[string]modelPoints {
	byModel := map[string]modelPoints{}
	for _, p := range points {
		if p.Model == "" {
			continue
		}
		m, ok := byModel[p.Model]
		if !ok {
			m.model = async(func() (LoggedModel, error) { return s.LoggedModel(ctx, p.Model, true) })
		}
		m.points = append(m.points, p)
		byModel[p.Model] = m
	}
	return byModel
}

// logToModels adds a run's points to the logged models that they are of; of a
// model that is not there the run keeps them all the same. A server that dies
// before it leaves them to the run's next compaction.
func (s *Store) logToModels(ctx context.Context, run string, models map[string]modelPoints) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, of := range models {
		g.Go(func() error {
			m, err := of.model()
			if errors.Is(err, errs.NotFound) {
				return nil
			}
			if err != nil {
				return err
			}
			points := make([]ModelMetric, len(of.points))
			for i, p := range of.points {
				points[i] = ModelMetric{Metric: p, Run: run}
			}
			return s.addModelMetrics(ctx, m, points)
		})
	}
	return g.Wait()
}
