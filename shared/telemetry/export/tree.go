package export

import (
	"cmp"
	"slices"
	"time"
)

// Trace is the spans of one trace as a tree.
type Trace struct {
	ID    string
	Roots []*Node // by start; more than one where parents were not recorded
	Spans int
	Start time.Time
	End   time.Time
}

// Node is a span and those below it, by start.
type Node struct {
	Span
	// Orphan tells that the span names a parent that is not in the file: its
	// process was killed, or recorded elsewhere.
	Orphan   bool
	Children []*Node
}

// Traces arranges spans by trace, oldest first.
func Traces(spans []Span) []Trace {
	nodes := map[string]*Node{}
	for _, s := range spans {
		nodes[s.Trace+s.Span] = &Node{Span: s}
	}
	traces := map[string]*Trace{}
	for _, n := range nodes {
		t := traces[n.Trace]
		if t == nil {
			t = &Trace{ID: n.Trace, Start: n.Start, End: n.End}
			traces[n.Trace] = t
		}
		t.Spans++
		if n.Start.Before(t.Start) {
			t.Start = n.Start
		}
		if n.End.After(t.End) {
			t.End = n.End
		}
		if parent := nodes[n.Trace+n.Parent]; parent != nil && n.Parent != "" {
			parent.Children = append(parent.Children, n)
			continue
		}
		n.Orphan = n.Parent != ""
		t.Roots = append(t.Roots, n)
	}
	for _, n := range nodes {
		slices.SortFunc(n.Children, byStart)
	}
	var out []Trace
	for _, t := range traces {
		slices.SortFunc(t.Roots, byStart)
		out = append(out, *t)
	}
	slices.SortFunc(out, func(a, b Trace) int { return cmp.Or(a.Start.Compare(b.Start), cmp.Compare(a.ID, b.ID)) })
	return out
}

func byStart(a, b *Node) int {
	return cmp.Or(a.Start.Compare(b.Start), cmp.Compare(a.Span.Span, b.Span.Span))
}

// Find returns the spans of that name, parents first.
func (t Trace) Find(name string) (found []*Node) {
	var walk func([]*Node)
	walk = func(nodes []*Node) {
		for _, n := range nodes {
			if n.Name == name {
				found = append(found, n)
			}
			walk(n.Children)
		}
	}
	walk(t.Roots)
	return found
}
