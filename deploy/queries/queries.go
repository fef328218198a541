// Package queries reads what the dashboards ask and the rules watch, for what
// holds them to the metrics that there are.
package queries

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
)

// Query is a PromQL expression and where it stands.
type Query struct{ Where, Expr string }

// Rule is an alert, or a recorded expression.
type Rule struct {
	Alert       string            `yaml:"alert"`
	Record      string            `yaml:"record"`
	Expr        string            `yaml:"expr"`
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations"`
}

// Dashboards are the queries of the panels under dir, the deploy folder.
func Dashboards(dir string) ([]Query, error) {
	files, err := filepath.Glob(filepath.Join(dir, "grafana/dashboards/*.json"))
	if err != nil {
		return nil, err
	}
	var all []Query
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		var d struct {
			Title  string
			Panels []struct {
				Title   string
				Targets []struct{ Expr string }
			}
		}
		if err := json.Unmarshal(text, &d); err != nil {
			return nil, fmt.Errorf("dashboard %s: %w", file, err)
		}
		for _, p := range d.Panels {
			for _, t := range p.Targets {
				all = append(all, Query{d.Title + ", " + p.Title, t.Expr})
			}
		}
	}
	return all, nil
}

// Rules are the rules under dir, the deploy folder.
func Rules(dir string) ([]Rule, error) {
	text, err := os.ReadFile(filepath.Join(dir, "prometheus/rules.yaml"))
	if err != nil {
		return nil, err
	}
	var file struct {
		Groups []struct{ Rules []Rule }
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		return nil, fmt.Errorf("rules: %w", err)
	}
	var all []Rule
	for _, g := range file.Groups {
		all = append(all, g.Rules...)
	}
	return all, nil
}

// compared is a comparison that filters; with bool it answers 0 or 1.
var compared = regexp.MustCompile(` (>|<|>=|<=|==|!=) `)

// Watched is what a rule asks of Prometheus: for an alert, a query that answers
// whether or not it fires. The part behind `unless` is another query.
func (r Rule) Watched() []Query {
	var all []Query
	for i, expr := range strings.Split(r.Expr, " unless ") {
		where := "rule " + r.Alert + r.Record
		if i > 0 {
			where += ", exception"
		}
		all = append(all, Query{where, compared.ReplaceAllString(expr, " $1 bool ")})
	}
	return all
}

var name = regexp.MustCompile(`\b(litterloop_[a-z_]+|(go|process)_[a-z_]+)\b`)

// Metrics are the names in an expression, without what a histogram puts at
// their ends, sorted.
func Metrics(expr string) []string {
	all := name.FindAllString(expr, -1)
	for i, m := range all {
		for _, end := range []string{"_bucket", "_sum", "_count"} {
			all[i] = strings.TrimSuffix(all[i], end)
			if all[i] != m {
				break
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}
