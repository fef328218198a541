package queries_test

import (
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/litterloop/litterloop/cmd/litterloop/cost"
	"github.com/litterloop/litterloop/deploy/queries"
	"github.com/litterloop/litterloop/terraform"
)

const root = "../.."

// documented are the metrics that the operations page lists.
func documented(t *testing.T) map[string]bool {
	t.Helper()
	page, err := os.ReadFile(filepath.Join(root, "docs/operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(page), "\n### Metrics\n")
	if !ok {
		t.Fatal("docs/operations.md has no section Metrics")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	all := map[string]bool{}
	for _, m := range regexp.MustCompile("`((?:litterloop|process|go)_[a-z_*]+)`").FindAllStringSubmatch(section, -1) {
		all[m[1]] = true
	}
	return all
}

func everything(t *testing.T) ([]queries.Query, []queries.Rule) {
	t.Helper()
	all, err := queries.Dashboards("..")
	if err != nil {
		t.Fatal(err)
	}
	rules, err := queries.Rules("..")
	if err != nil {
		t.Fatal(err)
	}
	if len(all) == 0 || len(rules) == 0 {
		t.Fatalf("%d queries and %d rules", len(all), len(rules))
	}
	return all, rules
}

func TestQueries_nameMetricsThatTheOperationsPageLists(t *testing.T) {
	known := documented(t)
	all, rules := everything(t)
	for _, r := range rules {
		all = append(all, r.Watched()...)
	}
	for _, q := range all {
		for _, m := range queries.Metrics(q.Expr) {
			kind, _, _ := strings.Cut(m, "_")
			if !known[m] && !known[kind+"_*"] {
				t.Errorf("%s asks for %s, which docs/operations.md does not list", q.Where, m)
			}
		}
	}
}

func TestAlerts_leadToTheirPlaybooks(t *testing.T) {
	_, rules := everything(t)
	for _, r := range rules {
		if r.Alert == "" {
			continue
		}
		want := "docs/playbooks/" + r.Alert + ".md"
		if r.Annotations["playbook"] != want {
			t.Errorf("%s: playbook %q, not %q", r.Alert, r.Annotations["playbook"], want)
		}
		if _, err := os.Stat(filepath.Join(root, want)); err != nil {
			t.Errorf("%s: %v", r.Alert, err)
		}
		if r.Annotations["summary"] == "" || r.Labels["severity"] == "" {
			t.Errorf("%s has no summary or no severity", r.Alert)
		}
	}
}

func TestPrices_areThoseOfTheTable(t *testing.T) {
	table, err := cost.Parse(terraform.Prices)
	if err != nil {
		t.Fatal(err)
	}
	_, rules := everything(t)
	got, want := map[string]string{}, map[string]string{}
	for _, r := range rules {
		if r.Record == "litterloop:price_dollars" {
			var price float64
			if _, err := fmt.Sscanf(r.Expr, "vector(%g)", &price); err != nil {
				t.Errorf("%s: %v", r.Expr, err)
			}
			sku := r.Labels["sku"]
			got[sku], want[sku] = fmt.Sprint(price), fmt.Sprint(table.SKUs[sku].Price)
		}
	}
	if d := cmp.Diff(want, got); d != "" || len(got) == 0 {
		t.Errorf("prices (-table +rules):\n%s", d)
	}
}

func TestMetrics_ofAnExpression(t *testing.T) {
	for expr, want := range map[string][]string{
		`sum by (le) (rate(litterloop_confidence_bucket[5m]))`:        {"litterloop_confidence"},
		`litterloop_step_seconds_sum / litterloop_step_seconds_count`: {"litterloop_step_seconds"},
		`a_litterloop_x > process_cpu_seconds_total`:                  {"process_cpu_seconds_total"},
		`vector(1) * scalar(litterloop:price_dollars)`:                nil,
	} {
		if d := cmp.Diff(want, queries.Metrics(expr)); d != "" {
			t.Errorf("%s: %s", expr, d)
		}
	}
}

func TestRules_passPromtool(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("needs promtool, of Debian's package prometheus")
	}
	for _, args := range [][]string{{"check", "rules", "rules.yaml"}, {"test", "rules", "rules_test.yaml"}, {"check", "config", "prometheus.yaml"}} {
		cmd := exec.CommandContext(t.Context(), promtool, args...)
		cmd.Dir = "../prometheus"
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", path.Join(args...), err, out)
		}
	}
}

func TestAlerts_haveATestEach(t *testing.T) {
	text, err := os.ReadFile("../prometheus/rules_test.yaml")
	if err != nil {
		t.Fatal(err)
	}
	_, rules := everything(t)
	for _, r := range rules {
		if r.Alert != "" && !strings.Contains(string(text), "alertname: "+r.Alert+"\n        exp_alerts:") {
			t.Errorf("no test shows %s firing", r.Alert)
		}
	}
}
