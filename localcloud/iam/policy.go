package iam

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Binding gives a role to members, under a condition or not. Its JSON is the
// API's.
type Binding struct {
	Role      string     `json:"role"`
	Members   []string   `json:"members"`
	Condition *Condition `json:"condition,omitempty"`
}

// Condition limits a binding to resources: an expression of CEL, of which the
// local cloud knows resource.name.startsWith("…"), resource.name == "…" and
// several of them with && between.
type Condition struct {
	Title      string `json:"title,omitempty"`
	Expression string `json:"expression"`
}

// Check tells what of a binding the local cloud cannot enforce: a role that is
// not in its table, or a condition that it cannot evaluate.
func (b Binding) Check() error {
	if _, known := roles[b.Role]; !known {
		return fmt.Errorf("the local cloud does not know the permissions of %s", b.Role)
	}
	if b.Condition != nil {
		if _, err := b.Condition.terms(); err != nil {
			return err
		}
	}
	return nil
}

// grants tells whether the binding allows what is asked.
func (b Binding) grants(principal, permission, resource string) bool {
	if !permits(b.Role, permission) {
		return false
	}
	if !slices.ContainsFunc(b.Members, func(m string) bool {
		return m == principal || m == AllUsers || m == allAuthenticated && principal != AllUsers
	}) {
		return false
	}
	return b.Condition == nil || b.Condition.holds(resource)
}

// term is one comparison of a condition.
type term struct {
	prefix bool
	name   string
}

var (
	starts = regexp.MustCompile(`^resource\.name\.startsWith\(["']([^"'\\]*)["']\)$`)
	equals = regexp.MustCompile(`^resource\.name\s*==\s*["']([^"'\\]*)["']$`)
)

func (c Condition) terms() ([]term, error) {
	var all []term
	for part := range strings.SplitSeq(c.Expression, "&&") {
		part = strings.TrimSpace(part)
		if m := starts.FindStringSubmatch(part); m != nil {
			all = append(all, term{true, m[1]})
		} else if m := equals.FindStringSubmatch(part); m != nil {
			all = append(all, term{false, m[1]})
		} else {
			return nil, fmt.Errorf("the local cloud cannot evaluate the condition %q: it knows resource.name.startsWith(\"…\") and resource.name == \"…\", with && between", c.Expression)
		}
	}
	return all, nil
}

// holds evaluates the condition; one that cannot be evaluated does not hold.
func (c Condition) holds(resource string) bool {
	terms, err := c.terms()
	return err == nil && !slices.ContainsFunc(terms, func(t term) bool {
		return t.prefix && !strings.HasPrefix(resource, t.name) || !t.prefix && resource != t.name
	})
}
