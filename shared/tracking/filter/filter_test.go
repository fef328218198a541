package filter_test

import (
	"math"
	"strings"
	"testing"

	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/tracking/fault"
	"github.com/litterloop/litterloop/shared/tracking/filter"
)

// subject has numbers and texts by "entity.key".
type subject struct {
	numbers map[string]float64
	texts   map[string][]string
}

func (s subject) Number(e filter.Entity, key string) (float64, bool) {
	v, ok := s.numbers[string(e)+"."+key]
	return v, ok
}

func (s subject) Texts(e filter.Entity, key string) []string { return s.texts[string(e)+"."+key] }

var run = subject{
	numbers: map[string]float64{"metric.loss": 0.5, "metric.a b": 2, "metric.nan": math.NaN(), "attribute.start_time": 1000},
	texts: map[string][]string{
		"parameter.lr": {"0.01"}, "tag.mlflow.source.name": {"train.py"}, "attribute.run_name": {"Quick-Fox"}, "attribute.run_id": {"abc"},
		"attribute.status": {"FINISHED"}, "dataset.name": {"taco", "own"}, "tag.percent": {"50%"}, "tag.quote": {"it''s"},
	},
}

func TestParse_runs(t *testing.T) {
	for s, want := range map[string]bool{
		"":                                   true,
		"metrics.loss < 1":                   true,
		"metric.loss<1 and params.lr='0.01'": true,
		"metrics.loss = 0.5 AND metrics.loss >= 5e-1": true,
		"metrics.loss > -3":                           true,
		"metrics.`a b` = 2":                           true,
		`metrics."a b" != 2`:                          false,
		"metrics.missing != 1":                        false,
		"metrics.nan != 1":                            false,
		"params.lr != '0.02'":                         true,
		"params.missing != 'x'":                       false,
		"params.missing IS NULL":                      true,
		"params.lr is not null":                       true,
		"tags.mlflow.source.name = \"train.py\"":      true,
		"tags.`mlflow.source.name` LIKE 'train%'":     true,
		"run_name LIKE 'quick%'":                      false,
		"run_name ILIKE 'quick%'":                     true,
		"run_name LIKE 'Quick_Fo_'":                   true,
		"attributes.run_id IN ('x', 'abc')":           true,
		"attr.run_id NOT IN (\"abc\")":                false,
		"created > 999":                               true,
		"attributes.Created <= 999":                   false,
		"datasets.name = 'own'":                       true,
		"dataset.name IN ('own')":                     true,
		"datasets.name != 'taco'":                     true,
		"tags.percent LIKE '50\\%'":                   false,
		"tags.percent LIKE '5%\u0025'":                true,
		"tags.quote = 'it''s'":                        true,
	} {
		clauses, err := filter.Runs.Parse(s)
		if err != nil {
			t.Errorf("%s: %v", s, err)
			continue
		}
		if got := filter.Match(clauses, run); got != want {
			t.Errorf("%s: %v, want %v", s, got, want)
		}
	}
}

func TestParse_refuses(t *testing.T) {
	for s, want := range map[string]string{
		"metrics.loss < 1 OR metrics.loss > 2": "Invalid clause(s) in filter string: 'OR'",
		"metrics.loss ~ 1":                     "Invalid comparator '~' not one of",
		"metrics.loss < 'x'":                   "Expected numeric value type for metric",
		"params.lr = 1":                        "Expected a quoted string value for parameter",
		"params.lr IN ('a')":                   "Expected a quoted string value for parameter",
		"params.lr > 'a'":                      "Invalid comparator '>'",
		"tags.x = y":                           "either not quoted",
		"bogus = 'x'":                          "Invalid attribute key 'bogus'",
		"nothing.x = 'x'":                      "Invalid entity type 'nothing'",
		"datasets.size = 'x'":                  "Invalid dataset key 'size'",
		"metrics.loss IS NULL":                 "only supported for tags and params",
		"1 = metrics.loss":                     "Expected 'Identifier'",
		"metrics.loss":                         "Invalid clause(s)",
		"(metrics.loss < 1)":                   "Invalid clause(s)",
		"NOT metrics.loss < 1":                 "Invalid clause(s)",
		"run_id IN ()":                         "empty list",
		"run_id IN (1)":                        "different type",
		"run_id IN ('a' 'b')":                  "ill-formed",
		"status IN ('a')":                      "attributes support comparison with a list",
		"tags.x = 'open":                       "Invalid clause(s)",
		"start_time > 'x'":                     "numeric attribute: start_time",
		"params.lr RLIKE 'x'":                  "Invalid comparator 'RLIKE'",
	} {
		_, err := filter.Runs.Parse(s)
		if code, _ := errs.Reason(err); code != fault.CodeInvalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", s, err, want)
		}
	}
	for _, s := range []string{"", "bogus", "metrics.x UP", "metrics.x ASC DESC", "1", "datasets.name"} {
		if _, err := filter.Runs.ParseOrder([]string{s}); err == nil {
			t.Errorf("order_by %q was taken", s)
		}
	}
	if _, err := filter.Runs.ParseOrder([]string{"metrics.x", "metrics.x DESC"}); err == nil {
		t.Error("one key ordered by twice")
	}
}

func TestCompare_missingLastBothWays(t *testing.T) {
	high, low := subject{numbers: map[string]float64{"metric.x": 2}}, subject{numbers: map[string]float64{"metric.x": 1}}
	nan, none := subject{numbers: map[string]float64{"metric.x": math.NaN()}}, subject{}
	for order, want := range map[string][]subject{
		"metrics.x ASC":  {low, high, nan, none},
		"metrics.x DESC": {high, low, nan, none},
	} {
		orders, err := filter.Runs.ParseOrder([]string{order})
		if err != nil {
			t.Fatal(err)
		}
		for i := range want {
			for j := range want {
				c := filter.Compare(orders, filter.Runs, want[i], want[j])
				if c < 0 != (i < j) || c > 0 != (i > j) {
					t.Errorf("%s: %d against %d is %d", order, i, j, c)
				}
			}
		}
	}
}

// Whatever a filter says, it is understood or refused with MLflow's words, and
// matching it never fails.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"metrics.loss < 1 AND params.lr = '0.01'", "tags.`a b` ILIKE '%x_'", "run_id IN ('a', \"b\")", "params.x IS NOT NULL", "a.b.c = 'é'", "((", "'", "`", "metrics.x >= -1.5e-3", "NOT LIKE IN"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, g := range []filter.Grammar{filter.Runs, filter.Experiments, filter.Models, filter.Versions, filter.LoggedModels} {
			clauses, err := g.Parse(s)
			if err == nil {
				filter.Match(clauses, run)
			} else if code, _ := errs.Reason(err); code != fault.CodeInvalid {
				t.Errorf("%q: %v", s, err)
			}
			if orders, err := g.ParseOrder([]string{s}); err == nil {
				filter.Compare(orders, g, run, subject{})
			}
		}
	})
}
