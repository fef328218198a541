// Package labelformat finds out in which form labels came and reads them: COCO
// as annotations.json, or as CVAT, Label Studio and the COCO project lay it out;
// YOLO with a data.yaml, with Darknet's obj.data, or with a list of class names.
package labelformat

import (
	"context"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/litterloop/litterloop/shared/dataset"
	"github.com/litterloop/litterloop/shared/errs"
)

// Tree is files that were dropped together. Names are below its root, with
// slashes. Open is safe for concurrent use; an error of it is passed on.
type Tree interface {
	Names() []string
	Open(ctx context.Context, name string) (io.ReadCloser, error)
}

// CodeMissing: there are no labels in any form that is read.
const CodeMissing errs.Code = "labels-missing"

// Kind is a form of labels.
type Kind string

// The forms.
const (
	COCO       Kind = "COCO"
	YOLO       Kind = "YOLO"
	Darknet    Kind = "YOLO with obj.data"
	ClassNames Kind = "YOLO with a list of class names"
)

// IsCOCO tells by its name whether a file is COCO labels: annotations.json,
// Label Studio's result.json, or annotations/instances_SUBSET.json.
func IsCOCO(name string) bool {
	base, inside := strings.CutPrefix(name, "annotations/")
	return name == dataset.LabelsFile || name == "result.json" ||
		inside && !strings.Contains(base, "/") && strings.HasPrefix(base, "instances_") && strings.HasSuffix(base, ".json")
}

// IsYOLORoot tells by its name whether a file names the classes of YOLO labels.
func IsYOLORoot(name string) bool {
	return slices.Contains(dataYAML, name) || name == "obj.data" || slices.Contains(classNames, name)
}

var (
	dataYAML   = []string{"data.yaml", "data.yml", "dataset.yaml", "dataset.yml"}
	classNames = []string{"classes.txt", "labels/classes.txt"}
)

// Find returns the form of the labels among files, and the files that say what
// the labels are; ok is false where there are none. COCO goes before YOLO.
func Find(names []string) (kind Kind, docs []string, ok bool) {
	have := make(map[string]bool)
	for _, n := range names {
		if IsCOCO(n) {
			docs = append(docs, n)
		} else if IsYOLORoot(n) || n == "obj.names" {
			have[n] = true
		}
	}
	if slices.Contains(docs, dataset.LabelsFile) {
		return COCO, []string{dataset.LabelsFile}, true
	}
	if len(docs) > 0 {
		slices.Sort(docs)
		return COCO, docs, true
	}
	for _, n := range dataYAML {
		if have[n] {
			return YOLO, []string{n}, true
		}
	}
	if have["obj.data"] && have["obj.names"] {
		return Darknet, []string{"obj.data", "obj.names"}, true
	}
	for _, n := range classNames {
		if have[n] {
			return ClassNames, []string{n}, true
		}
	}
	return "", nil, false
}

// Read reads labels of whichever form and applies the class map: the tree's own
// classes.yaml, or else the policy's. Bad input is a permanent error.
func Read(ctx context.Context, t Tree, p dataset.Policy) (l dataset.Labels, err error) {
	names := t.Names()
	kind, docs, ok := Find(names)
	if !ok {
		return l, errs.Permanentf(CodeMissing, "there are no labels: %s, annotations/instances_….json or result.json (COCO), or data.yaml, obj.data or classes.txt (YOLO)", dataset.LabelsFile)
	}
	classes := p.Classes
	if slices.Contains(names, dataset.ClassMapFile) {
		text, err := readAll(ctx, t, dataset.ClassMapFile)
		if err != nil {
			return l, err
		}
		if classes, err = dataset.ParseClassMap(text); err != nil {
			return l, err
		}
	}
	if kind == COCO {
		l, err = readCOCO(ctx, t, docs, p)
	} else {
		l, err = readYOLO(ctx, t, kind, docs, names, p)
	}
	if err != nil {
		return l, err
	}
	return classes.Apply(l), nil
}

// maxText bytes are read of a file that is not COCO labels.
const maxText = 4 << 20

// CodeTextLarge: a small text, such as a data.yaml, is none.
const CodeTextLarge errs.Code = "label-text-too-large"

func readAll(ctx context.Context, t Tree, name string) ([]byte, error) {
	r, err := t.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	text, err := io.ReadAll(io.LimitReader(r, maxText+1))
	if err == nil && len(text) > maxText {
		err = errs.Permanentf(CodeTextLarge, "%s is above %d bytes", name, maxText)
	}
	return text, err
}

// Junk tells of files that programs leave about and that are nobody's.
func Junk(name string) bool {
	for s := range strings.SplitSeq(name, "/") {
		if strings.HasPrefix(s, ".") || s == "__MACOSX" || strings.EqualFold(s, "Thumbs.db") || strings.EqualFold(s, "desktop.ini") {
			return true
		}
	}
	return false
}

// Nested returns the directory that everything lies in, with a slash at its end,
// where labels are not at the top but in a directory there; "" otherwise.
func Nested(names []string) string {
	if _, _, ok := Find(names); ok || len(names) == 0 {
		return ""
	}
	dir, _, ok := strings.Cut(names[0], "/")
	if !ok {
		return ""
	}
	dir += "/"
	below := make([]string, 0, len(names))
	for _, n := range names {
		rest, ok := strings.CutPrefix(n, dir)
		if !ok {
			return ""
		}
		below = append(below, rest)
	}
	if _, _, ok := Find(below); !ok {
		return ""
	}
	return dir
}

// stem is a path without its ending.
func stem(name string) string { return strings.TrimSuffix(name, path.Ext(name)) }
