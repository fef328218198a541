package tracking

import (
	"maps"
	"math"
	"slices"
	"strings"
)

// Comparison is runs side by side.
type Comparison struct {
	Runs    []RunData     `json:"-"`
	Params  []ParamRow    `json:"params"` // those that differ
	Metrics []ComparedRow `json:"metrics"`
}

// ParamRow is one parameter across runs; a run without it has nil.
type ParamRow struct {
	Key    string    `json:"key"`
	Values []*string `json:"values"`
}

// ComparedRow is the latest value of one metric across runs; a run without the
// metric has nil.
type ComparedRow struct {
	Key    string    `json:"key"`
	Values []*Metric `json:"values"`
	Best   int       `json:"best"` // index of the best value; -1 when the values do not differ
}

// Compare sets runs side by side.
func Compare(runs []RunData) Comparison {
	c := Comparison{Runs: runs}
	for _, key := range keysOf(runs, func(r RunData) map[string]string { return r.Params }) {
		row := ParamRow{Key: key}
		for _, r := range runs {
			var v *string
			if text, ok := r.Params[key]; ok {
				v = &text
			}
			row.Values = append(row.Values, v)
		}
		if slices.ContainsFunc(row.Values, func(v *string) bool {
			return (v == nil) != (row.Values[0] == nil) || v != nil && *v != *row.Values[0]
		}) {
			c.Params = append(c.Params, row)
		}
	}
	for _, key := range keysOf(runs, func(r RunData) map[string]Metric { return r.Metrics }) {
		row := ComparedRow{Key: key}
		for _, r := range runs {
			var v *Metric
			if m, ok := r.Metrics[key]; ok {
				v = &m
			}
			row.Values = append(row.Values, v)
		}
		row.Best = best(row)
		c.Metrics = append(c.Metrics, row)
	}
	return c
}

func keysOf[V any](runs []RunData, of func(RunData) map[string]V) []string {
	keys := map[string]bool{}
	for _, r := range runs {
		for key := range of(r) {
			keys[key] = true
		}
	}
	return slices.Sorted(maps.Keys(keys))
}

// best is the index of the best number of a row. Less is better of losses,
// errors and times; more of everything else.
func best(row ComparedRow) int {
	sign, at, differ := 1.0, -1, false
	for _, word := range []string{"loss", "error", "latency", "seconds"} {
		if strings.Contains(strings.ToLower(row.Key), word) {
			sign = -1
		}
	}
	for i, m := range row.Values {
		if m == nil || math.IsNaN(m.Value) {
			continue
		}
		if at >= 0 && m.Value != row.Values[at].Value {
			differ = true
		}
		if at < 0 || sign*m.Value > sign*row.Values[at].Value {
			at = i
		}
	}
	if !differ {
		return -1
	}
	return at
}
