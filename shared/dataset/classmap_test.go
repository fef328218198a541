package dataset

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/litterloop/litterloop/shared/dataset/coco"
	"github.com/litterloop/litterloop/shared/errs"
)

func TestParseClassMap(t *testing.T) {
	tests := []struct {
		name, text string
		want       ClassMap
	}{
		{"nothing", "# nothing yet\n", ClassMap{}},
		{"merging", "merge:\n  Clear plastic bottle: Bottle\n  \"Other: bottle\": Bottle # both\n", ClassMap{Merge: map[string]string{"Clear plastic bottle": "Bottle", "Other: bottle": "Bottle"}}},
		{"dropping", "drop: [Cigarette, 'Unlabeled litter']", ClassMap{Drop: []string{"Cigarette", "Unlabeled litter"}}},
		{"pinned ids as a list", "names: [Bottle, Can]", ClassMap{Names: []string{"Bottle", "Can"}}},
		{"pinned ids", "names:\n  1: Can\n  0: Bottle\nmerge: {Glass bottle: Bottle}\n", ClassMap{Names: []string{"Bottle", "Can"}, Merge: map[string]string{"Glass bottle": "Bottle"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseClassMap([]byte(tt.text))
			if d := cmp.Diff(tt.want, got); err != nil || d != "" {
				t.Error(err, d)
			}
		})
	}
}

func TestParseClassMap_faults(t *testing.T) {
	tests := []struct{ name, text, says string }{
		{"no YAML", "merge: {a: b\ndrop: [", "2"},
		{"another key", "drop: [a]\nmerged: {a: b}\n", "line 2: there is no key \"merged\""},
		{"a class to two", "merge:\n  a: b\n  c: [d, e]\n", "line 3"},
		{"a class twice", "merge:\n  a: b\n  a: c\n", "3"},
		{"through another", "merge:\n  a: b\n  b: c\n", "line 3"},
		{"merged and dropped", "merge: {a: b}\ndrop:\n- x\n- a\n", "line 4"},
		{"into what is dropped", "drop: [b]\nmerge:\n  a: b\n", "line 3"},
		{"ids with a gap", "drop: [x]\nnames: {0: a, 2: b}\n", "line 2"},
		{"an id twice", "names:\n  0: a\n  0: b\n", "3"},
		{"a name twice", "names: [a, b, a]", "a"},
		{"a pinned class that is dropped", "names: [a]\ndrop: [a]\n", "line 2"},
		{"a pinned class that is merged", "names: [a]\nmerge: {a: b}\n", "line 2"},
		{"a list", "- a", "line 1"},
		{"drop is no list", "drop: a", "line 1"},
		{"too deep", strings.Repeat("{a: ", 5000), "deep"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ParseClassMap([]byte(tt.text))
			if code, _ := errs.Reason(err); code != ClassMapBad || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func FuzzParseClassMap(f *testing.F) {
	f.Add([]byte("names: {0: a, 1: b}\nmerge:\n  c: a\n  \"d: e\": b\ndrop: [f, 'g']\n"))
	f.Add([]byte("names:\n- a\nmerge: {}\ndrop:\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := ParseClassMap(text)
		if err != nil {
			if code, _ := errs.Reason(err); code != ClassMapBad {
				t.Fatal(err)
			}
			return
		}
		if err := m.Validate(); err != nil {
			t.Fatalf("a faulty map was read: %v", err)
		}
		l := Labels{Classes: []string{"a", "c", "f"}, Photos: []LabelledPhoto{{Name: "p", Boxes: []Box{{Class: 0}, {Class: 1}, {Class: 2}}}}}
		out := m.Apply(l)
		seen := map[string]bool{}
		for _, c := range out.Classes {
			if seen[c] {
				t.Fatalf("class %q twice: %v", c, out.Classes)
			}
			seen[c] = true
		}
		for _, b := range out.Photos[0].Boxes {
			if b.Class < 0 || b.Class >= len(out.Classes) {
				t.Fatalf("%+v of %v", b, out.Classes)
			}
		}
	})
}

func TestClassMap_apply(t *testing.T) {
	l := Labels{Classes: []string{"a", "b", "c"}, Photos: []LabelledPhoto{{Name: "p", Boxes: []Box{{Class: 0}, {Class: 1}, {Class: 2}}}}}
	got := ClassMap{Names: []string{"x"}, Merge: map[string]string{"b": "x", "gone": "x"}, Drop: []string{"c"}}.Apply(l)
	if d := cmp.Diff([]string{"x", "a"}, got.Classes) + cmp.Diff([]Box{{Class: 1}, {Class: 0}}, got.Photos[0].Boxes); d != "" {
		t.Error(d)
	}
	codes := map[errs.Code]int{}
	for _, f := range got.Findings {
		codes[f.Code] = f.Count
	}
	if d := cmp.Diff(map[errs.Code]int{ClassMerged: 1, ClassDropped: 1, ClassMapUnknown: 1}, codes); d != "" {
		t.Error(d)
	}
}

// The examples in the documentation merge TACO's 60 classes into its 28
// supercategories and into six, and lose no box.
func TestClassMap_examples(t *testing.T) {
	for name, classes := range map[string]int{"taco-supercategories.yaml": 28, "taco-six.yaml": 6} {
		t.Run(name, func(t *testing.T) { losesNoBox(t, "../../docs/examples/"+name, classes) })
	}
}

func losesNoBox(t *testing.T, file string, classes int) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	m, err := ParseClassMap(text)
	if err != nil || len(m.Names) != classes {
		t.Fatal(len(m.Names), err)
	}
	f, err := os.Open(filepath.FromSlash("../../../shared/data/taco/annotations.json"))
	if err != nil {
		t.Skip("the real input is not on this machine: ", err)
	}
	defer f.Close()
	read, err := coco.Read(f, coco.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	l, err := FromCOCO(read)
	if err != nil {
		t.Fatal(err)
	}
	l = m.Apply(l)
	boxes := 0
	for _, p := range l.Photos {
		boxes += len(p.Boxes)
	}
	if len(l.Classes) != classes || boxes != 4784 {
		t.Errorf("%d classes, %d boxes", len(l.Classes), boxes)
	}
	for _, found := range l.Findings {
		if found.Code == ClassMapUnknown {
			t.Error(found)
		}
	}
}
