// Package yamltree reads small YAML documents of people with the line of every
// value, and without expanding anchors, which lets a few lines fill the memory.
package yamltree

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// maxBytes and maxDepth of a document: far above what people write, far below
// what the parser's recursion could be hurt by.
const (
	maxBytes = 256 << 10
	maxDepth = 64
)

// Value is a node: a scalar, a list or a mapping.
type Value struct {
	Line int
	node ast.Node
}

// Entry is a key of a mapping with its value.
type Entry struct {
	Key   string
	Line  int
	Value Value
}

// Parse reads one document. Its errors name the line.
func Parse(text []byte) (Value, error) {
	if len(text) > maxBytes {
		return Value{}, fmt.Errorf("it has %d bytes: at most %d are read", len(text), maxBytes)
	}
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
	if err := shallow(text); err != nil {
		return Value{}, err
	}
	file, err := parser.ParseBytes(text, 0)
	if err != nil {
		return Value{}, fmt.Errorf("it is no YAML: %s", brief(err))
	}
	if len(file.Docs) == 0 || file.Docs[0].Body == nil {
		return Value{Line: 1}, nil
	}
	return at(file.Docs[0].Body), nil
}

// shallow refuses brackets within brackets, and lists within lists, before a
// recursive parser sees them.
func shallow(text []byte) error {
	brackets, dashes, line := 0, 0, 1
	for _, c := range text {
		switch c {
		case '\n':
			line++
		case '[', '{':
			brackets++
			dashes++
		case ']', '}':
			brackets = max(brackets-1, 0)
		case '?', '-', ':', '!', '&', '*':
			dashes++
		case ' ', '\t', '\r':
		default:
			dashes = 0
		}
		if brackets > maxDepth || dashes > 40*maxDepth { // a rule of dashes is no list
			return fmt.Errorf("line %d: it is nested too deep", line)
		}
	}
	return nil
}

// brief is the first line of an error's message without the excerpt of the
// document, which may be long.
func brief(err error) string {
	text, _, _ := strings.Cut(yaml.FormatError(err, false, false), "\n")
	return fmt.Sprintf("%.200s", text)
}

func at(n ast.Node) Value {
	v := Value{Line: 1, node: n}
	if t := n.GetToken(); t != nil && t.Position != nil {
		v.Line = t.Position.Line
	}
	return v
}

// Empty tells whether nothing was written.
func (v Value) Empty() bool {
	if v.node == nil {
		return true
	}
	_, null := v.node.(*ast.NullNode)
	return null
}

// Entries are those of a mapping; ok is false for anything else.
func (v Value) Entries() (all []Entry, ok bool) {
	var values []*ast.MappingValueNode
	switch n := v.node.(type) {
	case *ast.MappingNode:
		values = n.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{n}
	default:
		return nil, false
	}
	for _, m := range values {
		key := at(m.Key)
		text, ok := key.Text()
		if !ok {
			return nil, false
		}
		all = append(all, Entry{text, key.Line, at(m.Value)})
	}
	return all, true
}

// List are the values of a list; ok is false for anything else.
func (v Value) List() (all []Value, ok bool) {
	n, ok := v.node.(*ast.SequenceNode)
	if !ok {
		return nil, false
	}
	for _, e := range n.Values {
		all = append(all, at(e))
	}
	return all, true
}

// Text is a scalar as written; ok is false for anything else.
func (v Value) Text() (string, bool) {
	switch n := v.node.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value, true
	}
	return "", false
}

// Int is a whole number.
func (v Value) Int() (int, bool) {
	text, ok := v.Text()
	if !ok {
		return 0, false
	}
	n, err := strconv.Atoi(text)
	return n, err == nil
}
