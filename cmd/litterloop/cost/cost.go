// Package cost reckons what a month of a deployment costs, from a table of
// prices and of what uses how much.
package cost

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/goccy/go-yaml"
)

// daysOfMonth are those of an average month, as Terraform's sum has them.
const daysOfMonth = 30.4

// SKU is what is paid for by the unit.
type SKU struct {
	What  string  `yaml:"what"`
	Unit  string  `yaml:"unit"`
	Price float64 `yaml:"price"` // of one unit
	Free  float64 `yaml:"free"`  // units a month
	Page  string  `yaml:"page"`  // where it is published, under Site
	Seen  string  `yaml:"seen"`  // how old the newest page is that showed it: a year, or year and month; empty: none was seen
}

// Site is what the pages of prices are under.
const Site = "https://cloud.google.com/"

// Use is how many units of an SKU a part of the loop uses a month.
type Use struct {
	By    string  `yaml:"by"`
	SKU   string  `yaml:"sku"`
	Rest  float64 `yaml:"rest"`  // whatever happens
	Loop  float64 `yaml:"loop"`  // beside that, when the loop is used
	Photo float64 `yaml:"photo"` // beside that, for each photo answered
	Times string  `yaml:"times"` // a factor
}

// Table is what is reckoned with.
type Table struct {
	Date     string             `yaml:"date"`
	Currency string             `yaml:"currency"`
	SKUs     map[string]SKU     `yaml:"skus"`
	Uses     []Use              `yaml:"uses"`
	Factors  map[string]float64 `yaml:"factors"`
	Levels   []float64          `yaml:"levels"` // photos a day
}

// Parse reads a table; every fault is reported at once.
func Parse(text []byte) (Table, error) {
	var t Table
	if err := yaml.UnmarshalWithOptions(text, &t, yaml.Strict()); err != nil {
		return t, fmt.Errorf("price table: %w", err)
	}
	var faults []error
	for i, u := range t.Uses {
		if _, ok := t.SKUs[u.SKU]; !ok {
			faults = append(faults, fmt.Errorf("price table: use %d, by %s, is of %q, which has no price", i+1, u.By, u.SKU))
		}
		if _, ok := t.Factors[u.Times]; u.Times != "" && !ok {
			faults = append(faults, fmt.Errorf("price table: use %d, by %s, is times %q, which is no factor", i+1, u.By, u.Times))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(t.SKUs)) {
		if t.SKUs[name].Page == "" {
			faults = append(faults, fmt.Errorf("price table: %s does not say which page its price stands on", name))
		}
	}
	return t, errors.Join(faults...)
}

// Unseen are the prices that no page was seen to show, in order of their names.
func (t Table) Unseen() []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(t.SKUs)), func(name string) bool { return t.SKUs[name].Seen != "" })
}

// Set replaces factors; one that the table does not have is an error.
func (t *Table) Set(factors map[string]float64) error {
	t.Factors = maps.Clone(t.Factors)
	for name, v := range factors {
		if _, ok := t.Factors[name]; !ok {
			return fmt.Errorf("no factor %q; there are %v", name, slices.Sorted(maps.Keys(t.Factors)))
		}
		if v < 0 {
			return fmt.Errorf("factor %s is %v: give 0 or more", name, v)
		}
		t.Factors[name] = v
	}
	return nil
}

// Line is what one SKU costs a month; Page and Seen as in SKU.
type Line struct {
	SKU   string  `json:"sku"`
	What  string  `json:"what"`
	Unit  string  `json:"unit"`
	Units float64 `json:"units"`
	Free  float64 `json:"free"`
	Cost  float64 `json:"cost"`
	Page  string  `json:"page"`
	Seen  string  `json:"seen,omitempty"`
}

// Month is what a month costs at a number of photos a day.
type Month struct {
	Photos float64 `json:"photos_a_day"`
	Total  float64 `json:"total"`
	Lines  []Line  `json:"lines"` // dearest first
}

// Month reckons a month in which the detector answers photos a day; with none
// nothing is dropped or trained either.
func (t Table) Month(photos float64) Month {
	units := map[string]float64{}
	for _, u := range t.Uses {
		n := u.Rest + u.Photo*photos*daysOfMonth
		if photos > 0 {
			n += u.Loop
		}
		if u.Times != "" {
			n *= t.Factors[u.Times]
		}
		units[u.SKU] += n
	}
	m := Month{Photos: photos}
	for _, name := range slices.Sorted(maps.Keys(t.SKUs)) {
		s := t.SKUs[name]
		l := Line{SKU: name, What: s.What, Unit: s.Unit, Units: units[name], Free: s.Free, Cost: s.Price * max(0, units[name]-s.Free), Page: Site + s.Page, Seen: s.Seen}
		m.Total += l.Cost
		m.Lines = append(m.Lines, l)
	}
	slices.SortStableFunc(m.Lines, func(a, b Line) int {
		switch {
		case a.Cost > b.Cost:
			return -1
		case a.Cost < b.Cost:
			return 1
		}
		return 0
	})
	return m
}
