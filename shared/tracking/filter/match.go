package filter

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Subject is what a filter is asked of.
type Subject interface {
	// Number returns a metric's or a numeric attribute's value.
	Number(e Entity, key string) (v float64, ok bool)
	// Texts returns the values of anything else: none, one, or for data sets
	// many.
	Texts(e Entity, key string) []string
}

// Match tells whether every clause holds. A subject that lacks a clause's key
// does not match it, unless it asks for just that.
func Match(clauses []Clause, s Subject) bool {
	for _, c := range clauses {
		if !c.match(s) {
			return false
		}
	}
	return true
}

func (c Clause) match(s Subject) bool {
	if c.Numeric {
		v, ok := s.Number(c.Entity, c.Key)
		return ok && c.number(v)
	}
	values := s.Texts(c.Entity, c.Key)
	switch c.Op {
	case "IS NULL":
		return len(values) == 0
	case "IS NOT NULL":
		return len(values) > 0
	}
	if c.Key == promptTag && c.Entity == Tag && len(values) == 0 {
		// The client asks for models that are no prompts by this tag, which
		// models do not have.
		return c.Op == "!=" && c.Text == "true" || c.Op == "=" && c.Text == "false"
	}
	return slices.ContainsFunc(values, c.text)
}

const promptTag = "mlflow.prompt.is_prompt"

func (c Clause) number(v float64) bool {
	switch c.Op {
	case "=":
		return v == c.Number
	case "!=":
		return v != c.Number && !math.IsNaN(v)
	case "<":
		return v < c.Number
	case "<=":
		return v <= c.Number
	case ">":
		return v > c.Number
	}
	return v >= c.Number
}

func (c Clause) text(v string) bool {
	switch c.Op {
	case "=":
		return v == c.Text
	case "!=":
		return v != c.Text
	case "LIKE":
		return like(v, c.Text, false)
	case "ILIKE":
		return like(v, c.Text, true)
	case "IN":
		return slices.Contains(c.List, v)
	}
	return !slices.Contains(c.List, v)
}

// like is SQL's LIKE: % stands for any characters, _ for one.
func like(s, pattern string, fold bool) bool {
	var star, mark = -1, 0 // the last % in pattern, and where in s it ends so far
	i, j := 0, 0
	for i < len(s) {
		r, n := utf8.DecodeRuneInString(s[i:])
		if j < len(pattern) && pattern[j] == '%' {
			star, mark = j, i
			j++
			continue
		}
		if j < len(pattern) {
			p, m := utf8.DecodeRuneInString(pattern[j:])
			if p == '_' || p == r || fold && unicode.ToLower(p) == unicode.ToLower(r) {
				i, j = i+n, j+m
				continue
			}
		}
		if star < 0 {
			return false
		}
		_, n = utf8.DecodeRuneInString(s[mark:])
		mark += n
		i, j = mark, star+1
	}
	return strings.Trim(pattern[j:], "%") == ""
}

// Compare orders two subjects; 0 when orders does not tell them apart. What is
// missing comes last in both directions, NaN just before.
func Compare(orders []Order, g Grammar, a, b Subject) int {
	for _, o := range orders {
		if c := o.compare(g, a, b); c != 0 {
			return c
		}
	}
	return 0
}

func (o Order) compare(g Grammar, a, b Subject) int {
	var c, rankA, rankB int
	if o.Entity == Metric || o.Entity == Attribute && (g.Numbers[o.Key] || strings.HasSuffix(o.Key, "timestamp")) {
		va, okA := a.Number(o.Entity, o.Key)
		vb, okB := b.Number(o.Entity, o.Key)
		rankA, rankB, c = rank(va, okA), rank(vb, okB), cmp.Compare(va, vb)
	} else {
		va, vb := a.Texts(o.Entity, o.Key), b.Texts(o.Entity, o.Key)
		rankA, rankB, c = 2-2*min(1, len(va)), 2-2*min(1, len(vb)), slices.Compare(va, vb)
	}
	switch {
	case rankA != rankB:
		return cmp.Compare(rankA, rankB)
	case rankA > 0:
		return 0
	case o.Descending:
		return -c
	}
	return c
}

func rank(v float64, ok bool) int {
	switch {
	case !ok:
		return 2
	case math.IsNaN(v):
		return 1
	}
	return 0
}
