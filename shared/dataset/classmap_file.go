package dataset

import (
	"fmt"
	"slices"

	"github.com/litterloop/litterloop/shared/dataset/internal/yamltree"
	"github.com/litterloop/litterloop/shared/errs"
)

// ParseClassMap reads classes.yaml: "names" (a list, or id: name from 0 on
// without gaps), "merge" (class: class) and "drop" (a list). The error is
// permanent, ClassMapBad, and names the line.
func ParseClassMap(text []byte) (m ClassMap, err error) {
	bad := func(line int, format string, args ...any) (ClassMap, error) {
		return m, errs.Permanentf(ClassMapBad, "%s: line %d: %s", ClassMapFile, line, fmt.Sprintf(format, args...))
	}
	root, err := yamltree.Parse(text)
	if err != nil {
		return m, errs.Permanentf(ClassMapBad, "%s: %w", ClassMapFile, err)
	}
	if root.Empty() {
		return m, nil
	}
	entries, ok := root.Entries()
	if !ok {
		return bad(root.Line, "it needs keys: names, merge, drop")
	}
	for _, e := range entries {
		switch e.Key {
		case "names":
			if m.Names, err = pinnedNames(e.Value); err != nil {
				return bad(e.Line, "%v", err)
			}
		case "merge":
			merges, ok := e.Value.Entries()
			if !ok && !e.Value.Empty() {
				return bad(e.Line, "merge must be class: class, as in Clear plastic bottle: Bottle")
			}
			m.Merge = map[string]string{}
			for _, c := range merges {
				to, ok := c.Value.Text()
				if !ok || to == "" || c.Key == "" {
					return bad(c.Line, "%q needs the name of one class after the colon", c.Key)
				}
				if _, again := m.Merge[c.Key]; again {
					return bad(c.Line, "%q is merged twice", c.Key)
				}
				m.Merge[c.Key] = to
				if err := (ClassMap{Names: m.Names, Drop: m.Drop, Merge: m.Merge}).Validate(); err != nil {
					return bad(c.Line, "%v", err)
				}
			}
		case "drop":
			list, ok := e.Value.List()
			if !ok && !e.Value.Empty() {
				return bad(e.Line, "drop must be a list of classes")
			}
			for _, c := range list {
				name, ok := c.Text()
				if !ok || name == "" {
					return bad(c.Line, "a class to drop needs a name")
				}
				m.Drop = append(m.Drop, name)
				if err := m.Validate(); err != nil {
					return bad(c.Line, "%v", err)
				}
			}
		default:
			return bad(e.Line, "there is no key %q: use names, merge, drop", e.Key)
		}
	}
	if err := m.Validate(); err != nil {
		return bad(root.Line, "%v", err)
	}
	return m, nil
}

// pinnedNames reads ids and their names.
func pinnedNames(v yamltree.Value) ([]string, error) {
	var names []string
	if list, ok := v.List(); ok {
		for _, e := range list {
			name, ok := e.Text()
			if !ok || name == "" || slices.Contains(names, name) {
				return nil, fmt.Errorf("line %d: %q is empty, no text, or named twice", e.Line, name)
			}
			names = append(names, name)
		}
		return names, nil
	}
	entries, ok := v.Entries()
	if !ok && !v.Empty() {
		return nil, fmt.Errorf("names must be a list, or id: name")
	}
	of := map[string]string{}
	for _, e := range entries {
		name, ok := e.Value.Text()
		if _, again := of[e.Key]; again || !ok || name == "" {
			return nil, fmt.Errorf("line %d: id %s is given twice, or to no name", e.Line, e.Key)
		}
		of[e.Key] = name
	}
	for id := range len(of) {
		name, ok := of[fmt.Sprint(id)]
		if !ok || slices.Contains(names, name) {
			return nil, fmt.Errorf("ids must go from 0 to %d, each with a name of its own: %d is missing or has another's name", len(of)-1, id)
		}
		names = append(names, name)
	}
	return names, nil
}
