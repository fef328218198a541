package tracking

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/google/uuid"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/errs"
)

// Metric is one point of a metric. Time is Unix milliseconds.
type Metric struct {
	Key   string
	Value float64
	Step  int64
	Time  int64
}

// point is a Metric in a segment. JSON has no NaN, so a value that is not a
// number is a string, as in MLflow's answers.
type point struct {
	Key   string `json:"key"`
	Value any    `json:"value"`
	Step  int64  `json:"step"`
	Time  int64  `json:"timestamp"`
}

// MarshalJSON implements json.Marshaler. An infinity becomes the largest
// number, as MLflow stores it.
func (m Metric) MarshalJSON() ([]byte, error) {
	p := point{Key: m.Key, Value: m.Value, Step: m.Step, Time: m.Time}
	switch {
	case math.IsNaN(m.Value):
		p.Value = "NaN"
	case math.IsInf(m.Value, 0):
		p.Value = math.Copysign(math.MaxFloat64, m.Value)
	}
	return json.Marshal(p)
}

// UnmarshalJSON implements json.Unmarshaler.
func (m *Metric) UnmarshalJSON(data []byte) error {
	var p point
	if err := json.Unmarshal(data, &p); err != nil {
		return err
	}
	*m = Metric{Key: p.Key, Value: math.NaN(), Step: p.Step, Time: p.Time}
	switch v := p.Value.(type) {
	case float64:
		m.Value = v
	case string:
		if v != "NaN" {
			return fmt.Errorf("metric value %q", v)
		}
	default:
		return fmt.Errorf("metric value %v", v)
	}
	return nil
}

func segmentPrefix(run string) string { return "tracking/runs/" + run + "/metrics/" }

// LogMetrics appends points to a run as one segment: all of them or none. The
// same segment logged again is kept once, so a writer that does not know
// whether its points arrived logs them again under the same name; an empty name
// is one of its own.
func (s *Store) LogMetrics(ctx context.Context, run, segment string, points []Metric) error {
	if segment == "" {
		segment = fmt.Sprintf("%019d-%s", s.now().UnixNano(), uuid.NewString()[:8])
	}
	if err := errors.Join(checkID("run", run), checkID("segment", segment)); err != nil {
		return err
	}
	if len(points) == 0 {
		return nil
	}
	for _, m := range points {
		if err := checkKey("metric", m.Key); err != nil {
			return err
		}
	}
	_, err := blob.WriteJSON(ctx, s.bucket, segmentPrefix(run)+segment+".json", points, blob.Absent)
	if err != nil && !errors.Is(err, errs.Conflict) {
		return fmt.Errorf("log metrics of run %s: %w", run, err)
	}
	return nil
}

// Metrics returns every point of a run, equal ones once, in the order of key,
// step and time.
func (s *Store) Metrics(ctx context.Context, run string) ([]Metric, error) {
	if err := checkID("run", run); err != nil {
		return nil, err
	}
	var all []Metric
	for a, err := range s.bucket.List(ctx, segmentPrefix(run)) {
		if err != nil {
			return nil, fmt.Errorf("list metrics of run %s: %w", run, err)
		}
		var points []Metric
		if _, err := blob.ReadJSON(ctx, s.bucket, a.Name, &points); err != nil {
			return nil, err
		}
		all = append(all, points...)
	}
	order := func(a, b Metric) int {
		return cmp.Or(cmp.Compare(a.Key, b.Key), cmp.Compare(a.Step, b.Step), cmp.Compare(a.Time, b.Time), cmp.Compare(a.Value, b.Value))
	}
	slices.SortFunc(all, order)
	return slices.CompactFunc(all, func(a, b Metric) bool { return order(a, b) == 0 }), nil
}

// Latest returns, of points ordered as Metrics does, each key's last one: the
// greatest by step, time and value, which MLflow shows as the run's metrics.
func Latest(points []Metric) map[string]Metric {
	latest := map[string]Metric{}
	for _, m := range points {
		latest[m.Key] = m
	}
	return latest
}
