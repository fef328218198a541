package dataset

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/litterloop/litterloop/shared/errs"
)

// ClassMap says which classes of labels become which classes of versions. The
// zero value keeps every class under its own name.
type ClassMap struct {
	// Names pins class ids: the first has id 0. A version that gives one of them
	// another id cannot take the batch: "class-id-taken".
	Names []string `json:"names,omitempty" yaml:"names"`
	// Merge makes objects of the class in the key objects of the one in the value.
	Merge map[string]string `json:"merge,omitempty" yaml:"merge"`
	// Drop leaves objects of these classes out; their photos stay.
	Drop []string `json:"drop,omitempty" yaml:"drop"`
}

// ClassMapFile is a batch's own class map, under BATCH/ in the incoming bucket.
// It counts instead of the policy's.
const ClassMapFile = "classes.yaml"

// Reason codes of class maps.
const (
	ClassMapBad     errs.Code = "classes-yaml-bad"
	ClassIDTaken    errs.Code = "class-id-taken"
	ClassMapUnknown errs.Code = "class-map-unknown"
	ClassMerged     errs.Code = "class-merged"
	ClassDropped    errs.Code = "class-dropped"
)

// Zero tells whether the map changes nothing.
func (m ClassMap) Zero() bool { return len(m.Names) == 0 && len(m.Merge) == 0 && len(m.Drop) == 0 }

// Validate reports every fault of the map.
func (m ClassMap) Validate() error {
	var faults []error
	seen := map[string]bool{}
	for _, n := range m.Names {
		if n == "" || seen[n] {
			faults = append(faults, fmt.Errorf("names: %q is empty or named twice", n))
		}
		seen[n] = true
	}
	dropped := map[string]bool{}
	for _, d := range m.Drop {
		dropped[d] = true
		if seen[d] {
			faults = append(faults, fmt.Errorf("drop: %q has an id in names", d))
		}
	}
	for _, from := range slices.Sorted(maps.Keys(m.Merge)) {
		to := m.Merge[from]
		_, again := m.Merge[to]
		switch {
		case to == "" || from == "":
			faults = append(faults, fmt.Errorf("merge: %q: %q: both need a name", from, to))
		case again && to != from:
			faults = append(faults, fmt.Errorf("merge: %q goes to %q, which goes on to %q: name the last one", from, to, m.Merge[to]))
		case dropped[from] || dropped[to]:
			faults = append(faults, fmt.Errorf("merge: %q: %q: a class cannot be dropped as well", from, to))
		case seen[from] && to != from:
			faults = append(faults, fmt.Errorf("merge: %q has an id in names", from))
		}
	}
	return errors.Join(faults...)
}

// Apply gives labels the classes that the map wants, pinned names first, and
// notes what it merged and dropped, and which of its classes are in no labels.
func (m ClassMap) Apply(l Labels) Labels {
	if m.Zero() {
		return l
	}
	var r Report
	r.Merge(l.Findings)
	classes := slices.Clone(m.Names)
	to := make([]int, len(l.Classes)) // -1: dropped
	for i, name := range l.Classes {
		if slices.Contains(m.Drop, name) {
			to[i] = -1
			continue
		}
		if merged, ok := m.Merge[name]; ok && merged != name {
			r.Add(ClassMerged, name+": "+merged)
			name = merged
		}
		to[i] = slices.Index(classes, name)
		if to[i] < 0 {
			to[i] = len(classes)
			classes = append(classes, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(m.Merge)) {
		if !slices.Contains(l.Classes, name) {
			r.Add(ClassMapUnknown, name)
		}
	}
	for _, name := range m.Drop {
		if !slices.Contains(l.Classes, name) {
			r.Add(ClassMapUnknown, name)
		}
	}
	dropped := make([]int, len(l.Classes))
	for i, p := range l.Photos {
		kept := p.Boxes[:0]
		for _, b := range p.Boxes {
			if to[b.Class] < 0 {
				dropped[b.Class]++
				continue
			}
			b.Class = to[b.Class]
			kept = append(kept, b)
		}
		l.Photos[i].Boxes = kept
	}
	for i, name := range l.Classes {
		if to[i] < 0 {
			r.AddAs(Note, ClassDropped, explained[ClassDropped].message, fmt.Sprintf("%s: %d boxes", name, dropped[i]))
		}
	}
	l.Classes, l.Findings, l.ClassMap = classes, r.Findings(), &m
	return l
}

// pinned tells whether the ids that the map pins are those that classes have, or
// can still get.
func (m *ClassMap) pinned(classes []string) error {
	if m == nil {
		return nil
	}
	for id, name := range m.Names {
		have := slices.Index(classes, name)
		switch {
		case have >= 0 && have != id:
			return errs.Permanentf(ClassIDTaken, "the class map gives %q the id %d, and versions have it as %d: an id once given stays", name, id, have)
		case have < 0 && id < len(classes):
			return errs.Permanentf(ClassIDTaken, "the class map gives %q the id %d, which versions have given to %q: an id once given stays", name, id, classes[id])
		}
	}
	return nil
}
