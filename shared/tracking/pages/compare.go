package pages

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/tracking"
)

// mostCompared runs fit beside each other.
const mostCompared = 8

// CodeCompare is the reason of a comparison that can't be made.
const CodeCompare errs.Code = "compare-invalid"

// compareBody is runs side by side.
type compareBody struct {
	Runs    []tracking.RunData
	Params  []row
	Figures []row
	Charts  []drawn
}

func (compareBody) title() string { return "Comparison of runs" }

// row is a parameter or a metric across runs.
type row struct {
	Key     string
	Values  []string // "" where a run has none
	Differs bool
	Best    int // index of the best figure; -1: none is known to be
}

func (p *Pages) compare(r *http.Request) (string, any, error) {
	ids := r.URL.Query()["run"]
	if len(ids) < 2 || len(ids) > mostCompared {
		return "", nil, errs.Permanentf(CodeCompare, "%d runs chosen: tick 2 to %d runs of an experiment", len(ids), mostCompared)
	}
	var b compareBody
	points, names := map[string][]tracking.Metric{}, []string{}
	for i, id := range ids {
		run, err := p.runs.Get(r.Context(), id)
		if err != nil {
			return "", nil, err
		}
		b.Runs = append(b.Runs, run)
		name := fmt.Sprintf("%d %s", i+1, run.Name) // names repeat
		names = append(names, name)
		if points[name], err = p.runs.Metrics(r.Context(), id); err != nil {
			return "", nil, err
		}
	}
	b.Params = rows(b.Runs, func(d tracking.RunData) map[string]string { return d.Params })
	b.Figures = rows(b.Runs, func(d tracking.RunData) map[string]string {
		figures := map[string]string{}
		for key, m := range d.Metrics {
			figures[key] = figure(m.Value)
		}
		return figures
	})
	for i := range b.Figures {
		b.Figures[i].Best = best(b.Runs, b.Figures[i])
	}
	b.Charts = charts(points, names)
	return "compare.html", b, nil
}

func rows(runs []tracking.RunData, of func(tracking.RunData) map[string]string) []row {
	keys := map[string]bool{}
	for _, run := range runs {
		for key := range of(run) {
			keys[key] = true
		}
	}
	var all []row
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		x := row{Key: key, Best: -1}
		for _, run := range runs {
			x.Values = append(x.Values, of(run)[key])
		}
		x.Differs = slices.ContainsFunc(x.Values, func(v string) bool { return v != x.Values[0] })
		all = append(all, x)
	}
	return all
}

// best is the run with the best figure of a metric that is known to have one:
// the least loss, the greatest mAP, recall or precision. -1: none.
func best(runs []tracking.RunData, x row) int {
	sign := 0.0
	for _, word := range []string{"map", "recall", "precision", "ap50", "f1", "accuracy"} {
		if strings.Contains(strings.ToLower(x.Key), word) {
			sign = 1
		}
	}
	if strings.Contains(strings.ToLower(x.Key), "loss") {
		sign = -1
	}
	if !x.Differs || sign == 0 {
		return -1
	}
	at := -1
	for i, run := range runs {
		m, ok := run.Metrics[x.Key]
		if ok && (at < 0 || sign*m.Value > sign*runs[at].Metrics[x.Key].Value) {
			at = i
		}
	}
	return at
}
