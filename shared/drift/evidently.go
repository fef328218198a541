package drift

import (
	"errors"
	"math"
	"slices"

	"github.com/litterloop/litterloop/shared/drift/stattest"
	"github.com/litterloop/litterloop/shared/predictionlog"
)

// Evidently is what Evidently's data drift preset says of the same photos. It
// informs; Verdict decides.
type Evidently struct {
	Drifted bool     `json:"drifted"` // Share reached the policy's drift share
	Share   float64  `json:"share"`   // of Columns that drifted
	Columns []Column `json:"columns"`
}

// Column is one column's test. Score is null where there was nothing to test or
// the test has no answer.
type Column struct {
	Name      string          `json:"name"`
	Method    stattest.Method `json:"method,omitempty"`
	Score     *float64        `json:"score"`
	Threshold float64         `json:"threshold"`
	Drifted   bool            `json:"drifted"`
	Reference int             `json:"reference"` // values
	Current   int             `json:"current"`
}

// side is the photos on one side of a comparison.
type side interface {
	values(d definition) []float64 // finite ones of a feature
	boxClasses() []string          // of every box
}

// rows are photos as the log has them.
type rows []predictionlog.Row

func (r rows) values(d definition) []float64 { return d.values(r) }
func (r rows) boxClasses() []string          { return boxClasses(r) }

// evidently tests every watched feature: one value a photo, and for the class
// mix one value a box.
func evidently(reference, current side, p Policy) Evidently {
	var e Evidently
	drifted := 0
	for _, name := range FeatureNames() {
		if !slices.Contains(p.Features, name) {
			continue
		}
		c := testColumn(name, reference, current, p.Evidently)
		if c.Drifted {
			drifted++
		}
		e.Columns = append(e.Columns, c)
	}
	if len(e.Columns) > 0 {
		e.Share = float64(drifted) / float64(len(e.Columns))
	}
	e.Drifted = drifted > 0 && e.Share >= p.Evidently.DriftShare
	return e
}

func testColumn(name string, reference, current side, p EvidentlyPolicy) Column {
	c := Column{Name: name}
	var score float64
	var err error
	if name == Classes {
		r, w := reference.boxClasses(), current.boxClasses()
		c.Reference, c.Current = len(r), len(w)
		if c.Method = p.Categorical; c.Method == "" {
			c.Method = stattest.DefaultCategorical(r, w)
		}
		score, err = stattest.Categorical(c.Method, r, w)
	} else {
		d := definitions[slices.IndexFunc(definitions, func(d definition) bool { return d.name == name })]
		r, w := reference.values(d), current.values(d)
		c.Reference, c.Current = len(r), len(w)
		if c.Method = p.Numeric; c.Method == "" {
			c.Method = stattest.DefaultNumeric(r, w)
		}
		score, err = stattest.Numeric(c.Method, r, w)
	}
	c.Threshold = c.Method.Threshold()
	if errors.Is(err, stattest.ErrEmpty) || math.IsNaN(score) || math.IsInf(score, 0) {
		return c
	}
	c.Score, c.Drifted = &score, c.Method.Drifted(score)
	return c
}

// values are the finite values of the feature, in the rows' order.
func (d definition) values(rows []predictionlog.Row) []float64 {
	out := make([]float64, 0, len(rows))
	for i := range rows {
		if x := d.of(&rows[i]); finite(x) {
			out = append(out, x)
		}
	}
	return out
}

func boxClasses(rows []predictionlog.Row) (out []string) {
	for _, r := range rows {
		for _, b := range r.Boxes {
			out = append(out, b.Class)
		}
	}
	return out
}
