package pages

import (
	"context"
	"errors"
	"html/template"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/registry"
	"github.com/litterloop/litterloop/shared/tracking"
)

// runsPerPage of an experiment.
const runsPerPage = 100

// homeBody is the first page.
type homeBody struct {
	Experiments []tracking.Experiment
	Models      []registry.Found
}

func (homeBody) title() string { return "Experiments and models" }

func (p *Pages) home(r *http.Request) (string, any, error) {
	var b homeBody
	var err error
	if b.Experiments, _, err = p.runs.SearchExperiments(r.Context(), "", []string{"last_update_time DESC"}, tracking.ActiveOnly, tracking.Page{Max: 500}); err != nil {
		return "", nil, err
	}
	b.Models, _, err = p.models.SearchModels(r.Context(), "", nil, tracking.Page{Max: 500})
	return "home.html", b, err
}

// experimentBody is an experiment's runs.
type experimentBody struct {
	Experiment    tracking.Experiment
	Runs          []tracking.RunData
	Columns       []string // metrics shown, by key
	Filter, Order string
	Next          string // query of the next page
	Fault         string // of the filter
}

func (b experimentBody) title() string { return b.Experiment.Name }

// columns of figures that a list of runs shows at most.
const mostColumns = 6

func (p *Pages) experiment(r *http.Request) (string, any, error) {
	q := r.URL.Query()
	b := experimentBody{Filter: q.Get("filter"), Order: q.Get("order")}
	var err error
	if b.Experiment, err = p.runs.Experiment(r.Context(), r.PathValue("id")); err != nil {
		return "", nil, err
	}
	search := tracking.Query{Experiments: []string{b.Experiment.ID}, Filter: b.Filter, View: tracking.ActiveOnly, Page: tracking.Page{Max: runsPerPage, Token: q.Get("page")}}
	if b.Order != "" {
		search.Order = []string{b.Order}
	}
	var next string
	b.Runs, next, err = p.runs.SearchRuns(r.Context(), search)
	if _, permanent := errs.Reason(err); permanent {
		b.Fault, err = err.Error(), nil // the search can be corrected on the page
	}
	if err != nil {
		return "", nil, err
	}
	if next != "" {
		b.Next = url.Values{"filter": {b.Filter}, "order": {b.Order}, "page": {next}}.Encode()
	}
	b.Columns = columns(b.Runs)
	return "experiment.html", b, nil
}

// columns are the metrics that most runs have, those of quality before losses.
func columns(runs []tracking.RunData) []string {
	count := map[string]int{}
	for _, run := range runs {
		for key := range run.Metrics {
			count[key]++
		}
	}
	keys := slices.Sorted(maps.Keys(count))
	rank := func(key string) int {
		switch {
		case strings.HasPrefix(key, "gate/mAP"), strings.HasPrefix(key, "metrics/mAP"):
			return 0
		case strings.Contains(key, "loss"), strings.HasPrefix(key, "lr"):
			return 2
		}
		return 1
	}
	slices.SortStableFunc(keys, func(a, b string) int {
		if d := rank(a) - rank(b); d != 0 {
			return d
		}
		return count[b] - count[a]
	})
	return keys[:min(len(keys), mostColumns)]
}

// runBody is a run.
type runBody struct {
	Run        tracking.RunData
	Experiment tracking.Experiment
	Charts     []drawn
	Artifacts  []artifact
	Versions   []registry.Version // registered from it
}

func (b runBody) title() string { return "Run " + b.Run.Name }

// drawn is a chart with its key.
type drawn struct {
	Key   string
	Chart template.HTML
}

func (p *Pages) run(r *http.Request) (string, any, error) {
	ctx := r.Context()
	var b runBody
	var err error
	if b.Run, err = p.runs.Get(ctx, r.PathValue("id")); err != nil {
		return "", nil, err
	}
	if b.Experiment, err = p.runs.Experiment(ctx, b.Run.Experiment); err != nil && !errors.Is(err, errs.NotFound) {
		return "", nil, err
	}
	points, err := p.runs.Metrics(ctx, b.Run.ID)
	if err != nil {
		return "", nil, err
	}
	b.Charts = charts(map[string][]tracking.Metric{b.Run.Name: points}, []string{b.Run.Name})
	if b.Artifacts, err = p.artifacts(ctx, b.Run.Run); err != nil {
		return "", nil, err
	}
	b.Versions, err = p.registered(ctx, b.Run.ID)
	return "run.html", b, err
}

// registered are the versions that a run became.
func (p *Pages) registered(ctx context.Context, run string) ([]registry.Version, error) {
	found, _, err := p.models.SearchVersions(ctx, "run_id = '"+run+"'", nil, tracking.Page{Max: 100})
	versions := make([]registry.Version, len(found))
	for i, f := range found {
		versions[i] = f.Version
	}
	return versions, err
}

// charts are the curves of runs, a chart a metric that has more than one point
// somewhere.
func charts(points map[string][]tracking.Metric, order []string) []drawn {
	byKey := map[string]map[string][]tracking.Metric{}
	long := map[string]bool{}
	for run, all := range points {
		for _, m := range all {
			if byKey[m.Key] == nil {
				byKey[m.Key] = map[string][]tracking.Metric{}
			}
			byKey[m.Key][run] = append(byKey[m.Key][run], m)
			long[m.Key] = long[m.Key] || len(byKey[m.Key][run]) > 1
		}
	}
	var all []drawn
	for _, key := range slices.Sorted(maps.Keys(byKey)) {
		if !long[key] {
			continue
		}
		var curves []series
		for _, run := range order {
			curves = append(curves, series{run, byKey[key][run]})
		}
		all = append(all, drawn{key, chart(key, curves)})
	}
	return all
}
