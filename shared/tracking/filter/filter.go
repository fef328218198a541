// Package filter understands the filter and order_by strings of MLflow's
// searches: comparisons joined by AND, over the metrics, parameters, tags,
// attributes and data sets of a subject.
package filter

import (
	"strconv"
	"strings"

	"github.com/litterloop/litterloop/shared/tracking/fault"
)

// Entity is what a key belongs to; the names are those in MLflow's messages.
type Entity string

// Entities.
const (
	Metric    Entity = "metric"
	Param     Entity = "parameter"
	Tag       Entity = "tag"
	Attribute Entity = "attribute"
	Data      Entity = "dataset"
)

// Clause is one comparison. Which of Text, List and Number counts follows from
// the operator and the key.
type Clause struct {
	Entity  Entity
	Key     string
	Op      string // =, !=, <, <=, >, >=, LIKE, ILIKE, IN, NOT IN, IS NULL, IS NOT NULL
	Text    string
	List    []string
	Number  float64
	Numeric bool // Number counts
}

// Order is one element of an order_by.
type Order struct {
	Entity     Entity
	Key        string
	Descending bool
}

// Parse reads a filter string; an empty one has no clauses.
func (g Grammar) Parse(s string) ([]Clause, error) {
	var (
		clauses []Clause
		invalid []string
	)
	tokens := lex(s)
	for i := 0; i < len(tokens); {
		n := comparison(tokens[i:])
		if n == 0 {
			if t := tokens[i]; t.kind != keyword || t.text != "AND" {
				invalid = append(invalid, "'"+t.text+"'")
			}
			i++
			continue
		}
		c, err := g.clause(tokens[i : i+n])
		if err != nil {
			return nil, err
		}
		clauses = append(clauses, c)
		i += n
	}
	if len(invalid) > 0 {
		return nil, fault.Invalid("Invalid clause(s) in filter string: %s", strings.Join(invalid, ", "))
	}
	return clauses, nil
}

// comparison is how many tokens the comparison has that all begins with.
func comparison(all []token) int {
	operand := func(t token) bool { return t.kind == word || t.kind == text || t.kind == number || t.kind == list }
	switch {
	case len(all) < 2 || !operand(all[0]) || all[1].kind != operator:
		return 0
	case strings.HasPrefix(all[1].text, "IS "):
		return 2
	case len(all) < 3 || !operand(all[2]):
		return 0
	}
	return 3
}

func (g Grammar) clause(tokens []token) (c Clause, err error) {
	if tokens[0].kind != word {
		return c, fault.Invalid("Invalid comparison clause. Expected 'Identifier' found '%s'", tokens[0].text)
	}
	c.Op = tokens[1].text
	if c.Entity, c.Key, err = g.identifier(tokens[0].text, g.Attributes); err != nil {
		return c, err
	}
	if len(tokens) == 2 {
		if !g.Null[c.Entity] {
			return c, fault.Invalid("IS NULL / IS NOT NULL is only supported for tags and params, not for '%s' '%s'", c.Entity, c.Key)
		}
		return c, nil
	}
	if err := g.value(&c, tokens[2]); err != nil {
		return c, err
	}
	if allowed := g.operators(c); !allowed[c.Op] {
		return c, fault.Invalid("Invalid comparator '%s' not one of '%s", c.Op, allowed)
	}
	return c, nil
}

// identifier splits an identifier into what it is of and its key.
func (g Grammar) identifier(s string, attributes set) (Entity, string, error) {
	entity, key := Attribute, s
	if name, rest, ok := strings.Cut(s, "."); ok {
		if entity, ok = g.Entities[trim(name, "`")]; !ok {
			return "", "", fault.Invalid("Invalid entity type '%s'. Valid values are %s", trim(name, "`"), g.entityNames())
		}
		key = rest
	}
	key = trim(trim(trim(key, "'"), `"`), "`")
	switch {
	case entity == Attribute && !attributes[key]:
		return "", "", fault.Invalid("Invalid attribute key '%s' specified. Valid keys are '%s'", key, attributes)
	case entity == Data && !datasetKeys[key]:
		return "", "", fault.Invalid("Invalid dataset key '%s' specified. Valid keys are '%s'", key, datasetKeys)
	}
	if alias, ok := g.Aliases[key]; ok && entity == Attribute {
		key = alias
	}
	return entity, key, nil
}

// trim removes a pair of quotes.
func trim(s, quote string) string {
	if len(s) >= 2 && strings.HasPrefix(s, quote) && strings.HasSuffix(s, quote) {
		return s[1 : len(s)-1]
	}
	return s
}

// value reads the right side of a comparison.
func (g Grammar) value(c *Clause, t token) error {
	c.Numeric = c.Entity == Metric || c.Entity == Attribute && g.Numbers[c.Key]
	switch {
	case c.Numeric && t.kind == text && g.QuotedNumbers:
		t = token{number, trim(t.text, "'")}
	case c.Numeric && t.kind != number && c.Entity == Metric:
		return fault.Invalid("Expected numeric value type for metric. Found %s", t.text)
	case c.Numeric && t.kind != number:
		return fault.Invalid("Expected numeric value type for numeric attribute: %s. Found %s", c.Key, t.text)
	}
	if c.Numeric {
		n, err := strconv.ParseFloat(t.text, 64)
		if err != nil && n == 0 {
			return fault.Invalid("Invalid value for numeric attribute '%s': '%s'", c.Key, t.text)
		}
		c.Number = n
		return nil
	}
	switch t.kind {
	case text, word:
		unquoted := trim(t.text, t.text[:1])
		if unquoted == t.text || t.text[0] != '\'' && t.text[0] != '"' {
			return fault.Invalid("Parameter value is either not quoted or unidentified quote types used for string value %s. Use either single or double quotes.", t.text)
		}
		c.Text = unquoted
		return nil
	case list:
		if c.Entity == Data || c.Entity == Attribute {
			return g.list(c, t.text)
		}
	}
	if c.Entity == Attribute {
		return fault.Invalid("Expected a quoted string value for attributes. Got value %s", t.text)
	}
	return fault.Invalid("Expected a quoted string value for %s (e.g. 'my-value'). Got value %s", c.Entity, t.text)
}

// list reads ('a', 'b').
func (g Grammar) list(c *Clause, s string) error {
	if c.Entity == Attribute && !g.Lists[c.Key] {
		return fault.Invalid("Only %s attributes support comparison with a list of quoted string values.", g.Lists)
	}
	inner, closed := strings.CutSuffix(s[1:], ")")
	bad := fault.Invalid("While parsing a list in the query, expected a non-empty list of string values, but got ill-formed list.")
	if !closed {
		return bad
	}
	rest := strings.TrimSpace(inner)
	for rest != "" {
		if rest[0] != '\'' && rest[0] != '"' {
			return fault.Invalid("While parsing a list in the query, expected string value, punctuation, or whitespace, but got different type in list: %s", s)
		}
		n := quoted(rest)
		if n == 0 {
			return bad
		}
		c.List = append(c.List, rest[1:n-1])
		if rest = strings.TrimSpace(rest[n:]); rest != "" {
			comma := strings.HasPrefix(rest, ",")
			if rest = strings.TrimSpace(rest[1:]); !comma {
				return bad
			}
		}
	}
	if len(c.List) == 0 {
		return fault.Invalid("While parsing a list in the query, expected a non-empty list of string values, but got empty list")
	}
	return nil
}

// ParseOrder reads the elements of an order_by: "metrics.loss DESC".
func (g Grammar) ParseOrder(all []string) ([]Order, error) {
	var orders []Order
	seen := map[Order]bool{}
	for _, s := range all {
		tokens := lex(s)
		if len(tokens) == 0 || len(tokens) > 2 || tokens[0].kind != word {
			return nil, fault.Invalid("Invalid order_by clause '%s'. Could not be parsed.", s)
		}
		var o Order
		var err error
		if len(tokens) == 2 {
			if tokens[1].kind != keyword || tokens[1].text != "ASC" && tokens[1].text != "DESC" {
				return nil, fault.Invalid("Invalid ordering key in order_by clause '%s'.", s)
			}
			o.Descending = tokens[1].text == "DESC"
		}
		if o.Entity, o.Key, err = g.identifier(tokens[0].text, g.Orders); err != nil {
			return nil, err
		}
		if !g.OrderEntities[o.Entity] {
			return nil, fault.Invalid("Invalid order_by entity: %s", o.Entity)
		}
		what := Order{Entity: o.Entity, Key: o.Key}
		if seen[what] {
			return nil, fault.Invalid("`order_by` contains duplicate fields: ['%s']", strings.Join(all, "', '"))
		}
		seen[what] = true
		orders = append(orders, o)
	}
	return orders, nil
}
