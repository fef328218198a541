package tracking

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
)

// Metric is one point of a metric. Time is Unix milliseconds. Model and the data
// set say of what the metric is, and may be empty.
type Metric struct {
	Key   string
	Value float64
	Step  int64
	Time  int64

	Model   string // id of a logged model
	Dataset string
	Digest  string // of the data set
}

// point is a Metric in a segment. JSON has no NaN, so a value that is not a
// number is a string, as in MLflow's answers.
type point struct {
	Key     string `json:"key"`
	Value   any    `json:"value"`
	Step    int64  `json:"step"`
	Time    int64  `json:"timestamp"`
	Model   string `json:"model_id,omitempty"`
	Dataset string `json:"dataset_name,omitempty"`
	Digest  string `json:"dataset_digest,omitempty"`
}

// Finite is a metric's value as MLflow keeps it: an infinity becomes the largest
// number.
func Finite(v float64) float64 {
	if math.IsInf(v, 0) {
		return math.Copysign(math.MaxFloat64, v)
	}
	return v
}

func (m Metric) point() point {
	p := point{m.Key, Finite(m.Value), m.Step, m.Time, m.Model, m.Dataset, m.Digest}
	if math.IsNaN(m.Value) {
		p.Value = "NaN"
	}
	return p
}

func (p point) metric() (Metric, error) {
	m := Metric{p.Key, math.NaN(), p.Step, p.Time, p.Model, p.Dataset, p.Digest}
	switch v := p.Value.(type) {
	case float64:
		m.Value = v
	case string:
		if v != "NaN" {
			return m, fmt.Errorf("metric value %q", v)
		}
	default:
		return m, fmt.Errorf("metric value %v", v)
	}
	return m, nil
}

// MarshalJSON implements json.Marshaler.
func (m Metric) MarshalJSON() ([]byte, error) { return json.Marshal(m.point()) }

// UnmarshalJSON implements json.Unmarshaler.
func (m *Metric) UnmarshalJSON(data []byte) (err error) {
	var p point
	if err := json.Unmarshal(data, &p); err != nil {
		return err
	}
	*m, err = p.metric()
	return err
}

// order is by key, and then by what decides which point is a key's latest. Of
// which model a point is does not tell it from another.
func order(a, b Metric) int {
	return cmp.Or(cmp.Compare(a.Key, b.Key), cmp.Compare(a.Step, b.Step), cmp.Compare(a.Time, b.Time), cmp.Compare(a.Value, b.Value))
}

// byTime is the order in which MLflow answers with a metric's history.
func byTime(a, b Metric) int {
	return cmp.Or(cmp.Compare(a.Time, b.Time), cmp.Compare(a.Step, b.Step), cmp.Compare(a.Value, b.Value))
}

// sorted returns points in order, equal ones once.
func sorted(points []Metric) []Metric {
	slices.SortFunc(points, order)
	return slices.CompactFunc(points, func(a, b Metric) bool { return order(a, b) == 0 })
}

// Latest returns each key's last point: the greatest by step, time and value,
// which MLflow shows as the run's metrics.
func Latest(points []Metric) map[string]Metric {
	return latest(nil, points)
}

// latest returns the latest points of those known and more.
func latest(known map[string]Metric, more []Metric) map[string]Metric {
	all := maps.Clone(known)
	if all == nil {
		all = map[string]Metric{}
	}
	for _, m := range more {
		if old, ok := all[m.Key]; !ok || order(old, m) < 0 {
			all[m.Key] = m
		}
	}
	return all
}
