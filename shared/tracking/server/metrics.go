package server

import (
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/litterloop/litterloop/shared/tracking"
	"github.com/litterloop/litterloop/shared/tracking/fault"
)

func logMetric(s *Server, q *request) (any, error) {
	if err := q.check(runID, field{name: "key", required: true}, field{name: "value", kind: double, required: true},
		field{name: "timestamp", kind: integer, required: true}, field{name: "step", kind: integer},
		field{name: "model_id"}, field{name: "dataset_name"}, field{name: "dataset_digest"}); err != nil {
		return nil, err
	}
	return nil, s.store.LogMetric(q.Context(), q.text("run_id"), tracking.Metric{
		Key: q.text("key"), Value: q.float("value"), Time: q.int("timestamp", 0), Step: q.int("step", 0),
		Model: q.text("model_id"), Dataset: q.text("dataset_name"), Digest: q.text("dataset_digest"),
	})
}

func logBatch(s *Server, q *request) (any, error) {
	if err := q.check(runID, field{name: "metrics", kind: objects}, field{name: "params", kind: objects}, field{name: "tags", kind: objects}); err != nil {
		return nil, err
	}
	var b tracking.Batch
	for i, o := range q.objects("metrics") {
		m, err := metric(i, o)
		if err != nil {
			return nil, err
		}
		b.Metrics = append(b.Metrics, m)
	}
	for _, name := range []string{"params", "tags"} {
		if err := q.checkPairs(name); err != nil {
			return nil, err
		}
	}
	b.Params, b.Tags = tags(q.objects("params")), tags(q.objects("tags"))
	if err := s.store.LogBatch(q.Context(), q.text("run_id"), b); err != nil {
		return nil, err
	}
	s.changed(q.Context())
	return nil, nil
}

// metric reads one of the metrics of a batch.
func metric(i int, o object) (m tracking.Metric, err error) {
	for _, name := range []string{"key", "value", "timestamp"} {
		if o[name] == nil || o[name] == "" {
			return m, missingIn("%s[%d]."+name, "metrics", i)
		}
	}
	var okKey, okValue, okTime bool
	okStep := true
	m.Key, okKey = o["key"].(string)
	m.Value, okValue = toFloat(o["value"])
	m.Time, okTime = toInt(o["timestamp"])
	if o["step"] != nil {
		m.Step, okStep = toInt(o["step"])
	}
	for _, part := range []struct {
		name string
		ok   bool
	}{{"key", okKey}, {"value", okValue}, {"timestamp", okTime}, {"step", okStep}} {
		if !part.ok {
			return m, fault.Invalid("Invalid value %s for parameter 'metrics[%d].%s' supplied.", literal(o[part.name]), i, part.name)
		}
	}
	m.Model, m.Dataset, m.Digest = o.text("model_id"), o.text("dataset_name"), o.text("dataset_digest")
	return m, nil
}

func metricHistory(s *Server, q *request) (any, error) {
	if err := q.check(runID, field{name: "metric_key", required: true}, field{name: "page_token"}, field{name: "max_results", kind: integer}); err != nil {
		return nil, err
	}
	points, err := s.store.History(q.Context(), q.text("run_id"), q.text("metric_key"))
	if err != nil {
		return nil, err
	}
	limit := q.page(int64(len(points)))
	if q.get("max_results") != nil && limit.Max <= 0 {
		return nil, fault.Invalid("Invalid value %d for parameter 'max_results' supplied. It must be a positive integer.", limit.Max)
	}
	part, next, err := tracking.Slice(points, limit)
	if err != nil {
		return nil, err
	}
	return history(part, next), nil
}

type wireHistory struct {
	Metrics []wireMetric `json:"metrics,omitempty"`
	Next    string       `json:"next_page_token,omitempty"`
}

func history(points []tracking.Metric, next string) wireHistory {
	h := wireHistory{make([]wireMetric, len(points)), next}
	for i, p := range points {
		h.Metrics[i] = point(p)
	}
	return h
}

// Limits of the histories of many runs at once.
const (
	bulkRuns     = 100
	bulkPoints   = 25000
	intervalMost = 2500
)

func bulkHistory(s *Server, q *request) (any, error) {
	runs := q.texts("run_id")
	switch {
	case len(runs) == 0:
		return nil, fault.Invalid("GetMetricHistoryBulk request must specify at least one run_id.")
	case len(runs) > bulkRuns:
		return nil, fault.Invalid("GetMetricHistoryBulk request cannot specify more than %d run_ids. Received %d run_ids.", bulkRuns, len(runs))
	case q.get("metric_key") == nil:
		return nil, fault.Invalid("GetMetricHistoryBulk request must specify a metric_key.")
	}
	limit := q.int("max_results", bulkPoints)
	if !q.typed(field{name: "max_results", kind: integer}) || limit < 0 {
		return nil, fault.Invalid("Invalid value %s for parameter 'max_results' supplied.", literal(q.get("max_results")))
	}
	slices.Sort(runs)
	runs = slices.Compact(runs)
	all, err := s.histories(q, runs, q.text("metric_key"))
	if err != nil {
		return nil, err
	}
	points := slices.Concat(all...)
	return struct {
		Metrics []wireMetric `json:"metrics"`
	}{points[:min(len(points), int(min(limit, bulkPoints)))]}, nil
}

// histories are the points of one metric of many runs. A run that is not there
// has none.
func (s *Server) histories(q *request, runs []string, key string) ([][]wireMetric, error) {
	all := make([][]wireMetric, len(runs))
	g, ctx := errgroup.WithContext(q.Context())
	g.SetLimit(16)
	for i, id := range runs {
		g.Go(func() error {
			points, err := s.store.History(ctx, id, key)
			if err != nil {
				return err
			}
			all[i] = make([]wireMetric, len(points))
			for j, p := range points {
				all[i][j] = point(p)
				all[i][j].Run = id
			}
			return nil
		})
	}
	return all, g.Wait()
}

func bulkHistoryInterval(s *Server, q *request) (any, error) {
	runs := q.texts("run_ids")
	if len(runs) > bulkRuns {
		return nil, fault.Invalid("GetMetricHistoryBulkInterval request must specify at most %d run_ids. Received %d run_ids. "+
			"See the API docs for more information about request parameters.", bulkRuns, len(runs))
	}
	if err := q.check(field{name: "run_ids", kind: texts, required: true}, field{name: "metric_key", required: true},
		field{name: "start_step", kind: integer}, field{name: "end_step", kind: integer}, field{name: "max_results", kind: integer}); err != nil {
		return nil, err
	}
	limit := q.int("max_results", intervalMost)
	if limit < 1 || limit > intervalMost {
		return nil, fault.Invalid("max_results must be between 1 and %d. See the API docs for more information about request parameters.", intervalMost)
	}
	first, hasFirst := toInt(q.get("start_step"))
	last, hasLast := toInt(q.get("end_step"))
	switch {
	case hasFirst != hasLast:
		return nil, fault.Invalid("If either start step or end step are specified, both must be specified.")
	case hasFirst && first > last:
		return nil, fault.Invalid("end_step must be greater than start_step. Found start_step=%d and end_step=%d.", first, last)
	}
	all, err := s.histories(q, runs, q.text("metric_key"))
	if err != nil {
		return nil, err
	}
	var answer wireHistory
	for _, points := range all {
		if hasFirst {
			points = slices.DeleteFunc(points, func(p wireMetric) bool { return p.Step < first || p.Step > last })
		}
		slices.SortStableFunc(points, func(a, b wireMetric) int { return compareSteps(a, b) })
		answer.Metrics = append(answer.Metrics, sample(points, int(limit))...)
	}
	return answer, nil
}

func compareSteps(a, b wireMetric) int {
	switch {
	case a.Step != b.Step:
		return int(max(min(a.Step-b.Step, 1), -1))
	case a.Time != b.Time:
		return int(max(min(a.Time-b.Time, 1), -1))
	}
	return 0
}

// sample keeps the first of each of n equal parts of points, as SQL's NTILE
// divides them, and the last point.
func sample(points []wireMetric, n int) []wireMetric {
	if len(points) <= n {
		return points
	}
	size, longer := len(points)/n, len(points)%n // the first parts have one more
	kept := make([]wireMetric, 0, n)
	for i := range n {
		kept = append(kept, points[i*size+min(i, longer)])
	}
	kept[n-1] = points[len(points)-1]
	return kept
}
