// Package yolo reads labels as YOLO trainers and annotation tools write them:
// data.yaml, lists of names and of photos, and label files with a row for each
// object. It reports what is there and knows nothing of where it lies.
package yolo

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/litterloop/litterloop/shared/dataset/internal/yamltree"
	"github.com/litterloop/litterloop/shared/errs"
)

// CodeDataBad: a data.yaml (or a list of class names) cannot be used.
const CodeDataBad errs.Code = "data-yaml-bad"

// Data is a data.yaml.
type Data struct {
	Names []string // by class; "" where a class has none
	// Path is the root that the data set had on somebody's machine.
	Path string
	// Photos are the entries of train, val and test: directories or list files.
	Photos []string
	// Keypoints: rows are boxes with keypoints after them, not polygons.
	Keypoints bool
}

// maxClasses: far above what any detector tells apart.
const maxClasses = 100_000

// ParseData reads a data.yaml, its names being a list or a mapping from class to
// name. The error is permanent, CodeDataBad, and names the line.
func ParseData(text []byte) (d Data, err error) {
	root, err := yamltree.Parse(text)
	if err != nil {
		return d, errs.Permanentf(CodeDataBad, "data.yaml: %w", err)
	}
	entries, ok := root.Entries()
	if !ok {
		return d, errs.Permanentf(CodeDataBad, "data.yaml: line %d: it needs keys, \"names\" above all", root.Line)
	}
	classes := 0
	for _, e := range entries {
		switch e.Key {
		case "names":
			if d.Names, err = names(e.Value); err != nil {
				return d, errs.Permanentf(CodeDataBad, "data.yaml: %w", err)
			}
		case "nc":
			n, ok := e.Value.Int()
			if !ok || n < 0 || n > maxClasses {
				return d, errs.Permanentf(CodeDataBad, "data.yaml: line %d: nc must be a number from 0 to %d", e.Line, maxClasses)
			}
			classes = n
		case "path":
			d.Path, _ = e.Value.Text()
		case "train", "val", "test":
			if s, ok := e.Value.Text(); ok {
				d.Photos = append(d.Photos, s)
			}
			list, _ := e.Value.List()
			for _, v := range list {
				if s, ok := v.Text(); ok {
					d.Photos = append(d.Photos, s)
				}
			}
		case "kpt_shape":
			d.Keypoints = !e.Value.Empty()
		}
	}
	if d.Names == nil && classes == 0 {
		return d, errs.Permanentf(CodeDataBad, "data.yaml: it has neither \"names\" nor \"nc\": which classes do the labels have?")
	}
	for len(d.Names) < classes {
		d.Names = append(d.Names, "")
	}
	return d, nil
}

func names(v yamltree.Value) ([]string, error) {
	if list, ok := v.List(); ok {
		if len(list) > maxClasses {
			return nil, fmt.Errorf("line %d: there are %d classes: at most %d are read", v.Line, len(list), maxClasses)
		}
		all := make([]string, len(list))
		for i, e := range list {
			if all[i], ok = e.Text(); !ok && !e.Empty() {
				return nil, fmt.Errorf("line %d: the name of class %d is no text", e.Line, i)
			}
		}
		return all, nil
	}
	entries, ok := v.Entries()
	if !ok {
		return nil, fmt.Errorf("line %d: names must be a list, or class: name", v.Line)
	}
	var all []string
	seen := map[int]bool{}
	for _, e := range entries {
		n, err := strconv.Atoi(e.Key)
		if err != nil || n < 0 || n >= maxClasses {
			return nil, fmt.Errorf("line %d: %q is no class: use 0 to %d", e.Line, e.Key, maxClasses-1)
		}
		if seen[n] {
			return nil, fmt.Errorf("line %d: class %d has a name already", e.Line, n)
		}
		seen[n] = true
		for len(all) <= n {
			all = append(all, "")
		}
		if all[n], ok = e.Value.Text(); !ok && !e.Value.Empty() {
			return nil, fmt.Errorf("line %d: the name of class %d is no text", e.Line, n)
		}
	}
	return all, nil
}

// ParseNames reads classes.txt or obj.names: a name a line, the first being
// class 0. Empty lines at the end are none.
func ParseNames(text []byte) ([]string, error) {
	all, err := Lines(text)
	if err != nil {
		return nil, errs.Permanentf(CodeDataBad, "the list of class names: %w", err)
	}
	if len(all) > maxClasses {
		return nil, errs.Permanentf(CodeDataBad, "the list of class names has %d lines: at most %d are read", len(all), maxClasses)
	}
	return all, nil
}

// ParseObjData reads Darknet's obj.data, "key = value" a line, and returns the
// lists of photos: those of train and valid, and of subsets by other names.
func ParseObjData(text []byte) ([]string, error) {
	lines, err := Lines(text)
	if err != nil {
		return nil, errs.Permanentf(CodeDataBad, "obj.data: %w", err)
	}
	var photos []string
	for _, line := range lines {
		if _, value, _ := strings.Cut(line, "="); strings.HasSuffix(value, ".txt") {
			photos = append(photos, strings.TrimSpace(value))
		}
	}
	return photos, nil
}

// Lines are a text's lines without space around them, and without the empty
// ones at its end. UTF-16 and what is no text at all are errors.
func Lines(text []byte) ([]string, error) {
	if bytes.HasPrefix(text, []byte("\xff\xfe")) || bytes.HasPrefix(text, []byte("\xfe\xff")) {
		return nil, fmt.Errorf("the file is UTF-16: save it as UTF-8")
	}
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
	if bytes.IndexByte(text, 0) >= 0 || !utf8.Valid(text) {
		return nil, fmt.Errorf("the file is no UTF-8 text")
	}
	var all []string
	for line := range strings.Lines(string(text)) {
		all = append(all, strings.TrimSpace(line))
	}
	for len(all) > 0 && all[len(all)-1] == "" {
		all = all[:len(all)-1]
	}
	return all, nil
}
