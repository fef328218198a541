package pages

import (
	"fmt"
	"net/http"

	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/tracking"
)

// mostCompared runs fit beside each other.
const mostCompared = 8

// CodeCompare is the reason of a comparison that can't be made.
const CodeCompare errs.Code = "compare-invalid"

// compareBody is runs side by side.
type compareBody struct {
	tracking.Comparison
	Charts []drawn
}

func (compareBody) title() string { return "Comparison of runs" }

func (p *Pages) compare(r *http.Request) (string, any, error) {
	ids := r.URL.Query()["run"]
	if len(ids) < 2 || len(ids) > mostCompared {
		return "", nil, errs.Permanentf(CodeCompare, "%d runs chosen: tick 2 to %d runs of an experiment", len(ids), mostCompared)
	}
	var runs []tracking.RunData
	points, names := map[string][]tracking.Metric{}, []string{}
	for i, id := range ids {
		run, err := p.runs.Get(r.Context(), id)
		if err != nil {
			return "", nil, err
		}
		runs = append(runs, run)
		name := fmt.Sprintf("%d %s", i+1, run.Name) // names repeat
		names = append(names, name)
		if points[name], err = p.runs.Metrics(r.Context(), id); err != nil {
			return "", nil, err
		}
	}
	return "compare.html", compareBody{tracking.Compare(runs), charts(points, names)}, nil
}
