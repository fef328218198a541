// Package onnx reads and writes ONNX models: the few messages of onnx.proto that
// a network needs, by hand because the whole schema would bring a generated
// package of thousands of lines for eight message types.
//
// Field numbers are those of onnx/onnx.proto (IR version 9).
package onnx

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

const (
	irVersion = 9
	// opset is the newest that every reader of the exported models knows.
	opset = 17
	// Microsoft is the domain of ONNX Runtime's own operators.
	Microsoft = "com.microsoft"
)

// Attributes of a node: int, float32, string or []int by name.
type Attributes map[string]any

// Node is one operator of a graph.
type Node struct {
	Op, Domain      string
	Inputs, Outputs []string
	Attributes      Attributes
	raw             []byte // as it was read: written again without a change
}

// Constant is a named tensor stored in the model. Ints, when not nil, makes it
// a tensor of int64; otherwise it holds Floats.
type Constant struct {
	Name   string
	Shape  []int
	Floats []float32
	Ints   []int64

	// Of a tensor that was read: its type (TensorProto.DataType), and whether its
	// values lie in another file. Values of other types than float32 and int64
	// are kept but not decoded.
	Element  int
	External bool
	raw      []byte
	node     bool // made by a node, and written with it
}

// Value is an input or output of a graph. A string dimension is symbolic, an int
// fixed; a nil Shape leaves the shape unsaid.
type Value struct {
	Name    string
	Shape   []any
	Element int // type of one that was read; written ones are float32
}

// Property is one entry of a model's metadata.
type Property struct{ Key, Value string }

// Model is a graph with its inputs, outputs and metadata.
type Model struct {
	Nodes           []Node
	Constants       []Constant // those that no node reads are left out
	Inputs, Outputs []Value
	Properties      []Property
	Opset           int // of the standard operators; 0 is this package's own
	domains         []operatorSet
}

// operatorSet is a domain of operators and the version that a model needs.
type operatorSet struct {
	domain  string
	version int
}

// Marshal encodes the model. The same model gives the same bytes.
func (m Model) Marshal() []byte {
	var graph message
	used := map[string]bool{}
	domains := append([]operatorSet{{"", opset}}, m.domains...)
	if m.Opset != 0 {
		domains[0].version = m.Opset
	}
	for _, n := range m.Nodes {
		if n.Domain == Microsoft && !slices.ContainsFunc(domains, func(s operatorSet) bool { return s.domain == Microsoft }) {
			domains = append(domains, operatorSet{Microsoft, 1})
		}
		for _, in := range n.Inputs {
			used[in] = true
		}
		graph.bytes(1, n.marshal())
	}
	graph.string(2, "litterloop")
	for _, c := range m.Constants {
		if used[c.Name] {
			graph.bytes(5, c.marshal())
		}
	}
	for _, v := range m.Inputs {
		graph.bytes(11, v.marshal())
	}
	for _, v := range m.Outputs {
		graph.bytes(12, v.marshal())
	}
	var out message
	out.int(1, irVersion)
	out.string(2, "litterloop")
	out.bytes(7, graph)
	for _, o := range domains {
		var set message
		set.string(1, o.domain)
		set.int(2, o.version)
		out.bytes(8, set)
	}
	for _, p := range m.Properties {
		var entry message
		entry.string(1, p.Key)
		entry.string(2, p.Value)
		out.bytes(14, entry)
	}
	return out
}

func (n Node) marshal() message {
	if n.raw != nil {
		return n.raw
	}
	var m message
	for _, s := range n.Inputs {
		m.string(1, s)
	}
	for _, s := range n.Outputs {
		m.string(2, s)
	}
	m.string(4, n.Op)
	for _, name := range slices.Sorted(maps.Keys(n.Attributes)) {
		m.bytes(5, attribute(name, n.Attributes[name]))
	}
	if n.Domain != "" {
		m.string(7, n.Domain)
	}
	return m
}

// attribute encodes an AttributeProto; field 20 is its type.
func attribute(name string, value any) message {
	const float, integer, text, integers = 1, 2, 3, 7
	var m message
	m.string(1, name)
	switch v := value.(type) {
	case float32:
		m.float(2, v)
		m.int(20, float)
	case int:
		m.int(3, v)
		m.int(20, integer)
	case string:
		m.string(4, v)
		m.int(20, text)
	case []int:
		for _, i := range v {
			m.int(8, i)
		}
		m.int(20, integers)
	default:
		panic(fmt.Sprintf("onnx: attribute %s: no encoding for %T", name, value))
	}
	return m
}

func (c Constant) marshal() message {
	if c.raw != nil {
		return c.raw
	}
	var m message
	for _, d := range c.Shape {
		m.int(1, d)
	}
	var raw []byte
	if c.Ints != nil {
		m.int(2, ElementInt64)
		for _, v := range c.Ints {
			raw = binary.LittleEndian.AppendUint64(raw, uint64(v))
		}
	} else {
		m.int(2, ElementFloat)
		raw = make([]byte, 0, 4*len(c.Floats))
		for _, v := range c.Floats {
			raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
		}
	}
	m.string(8, c.Name)
	m.bytes(9, raw)
	return m
}

func (v Value) marshal() message {
	var shape, tensor, kind, m message
	for _, d := range v.Shape {
		var dim message
		switch d := d.(type) {
		case int:
			dim.int(1, d)
		case string:
			dim.string(2, d)
		default:
			panic(fmt.Sprintf("onnx: value %s: no encoding for a dimension of type %T", v.Name, d))
		}
		shape.bytes(1, dim)
	}
	tensor.int(1, 1) // float32
	if v.Shape != nil {
		tensor.bytes(2, shape)
	}
	kind.bytes(1, tensor)
	m.string(1, v.Name)
	m.bytes(2, kind)
	return m
}

// message is a protobuf message under construction.
type message []byte

func (m *message) int(field protowire.Number, v int) {
	*m = protowire.AppendTag(*m, field, protowire.VarintType)
	*m = protowire.AppendVarint(*m, uint64(int64(v)))
}

func (m *message) float(field protowire.Number, v float32) {
	*m = protowire.AppendTag(*m, field, protowire.Fixed32Type)
	*m = protowire.AppendFixed32(*m, math.Float32bits(v))
}

func (m *message) bytes(field protowire.Number, v []byte) {
	*m = protowire.AppendTag(*m, field, protowire.BytesType)
	*m = protowire.AppendBytes(*m, v)
}

func (m *message) string(field protowire.Number, v string) { m.bytes(field, []byte(v)) }
