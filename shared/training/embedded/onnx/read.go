package onnx

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// Element types of TensorProto that the reader tells apart.
const (
	ElementFloat   = 1
	ElementInt64   = 7
	ElementFloat16 = 10
)

// Graph is a model that was read: enough to cut it, to change its weights and to
// write it again. Nodes and constants that are written again come out as they
// went in, whatever operators and types they hold.
type Graph struct {
	Opset           int // of the standard domain
	Nodes           []Node
	Constants       map[string]Constant // initialisers, the values of Constant nodes, and what Identity hands on of them
	Inputs, Outputs []Value             // inputs that are no weights
	Properties      map[string]string

	producer map[string]int // tensor -> node
	readers  map[string][]int
	domains  []operatorSet // beside the standard one
}

// Parse reads a model. Its error says what is wrong with the bytes; they are
// wrong for good.
func Parse(model []byte) (*Graph, error) {
	g := &Graph{Constants: map[string]Constant{}, Properties: map[string]string{}, producer: map[string]int{}, readers: map[string][]int{}}
	seen := false
	err := fields(model, func(n protowire.Number, p []byte, _ uint64) error {
		switch n {
		case 7:
			seen = true
			return g.read(p)
		case 8:
			return g.readOpset(p)
		case 14:
			var entry [3]string
			err := fields(p, func(n protowire.Number, p []byte, _ uint64) error {
				if n == 1 || n == 2 {
					entry[n] = string(p)
				}
				return nil
			})
			g.Properties[entry[1]] = entry[2]
			return err
		}
		return nil
	})
	if err == nil && (!seen || len(g.Nodes) == 0 || len(g.Outputs) == 0) {
		err = errors.New("no ONNX graph with nodes and outputs")
	}
	if err != nil {
		return nil, err
	}
	inputs := g.Inputs[:0]
	for _, in := range g.Inputs { // old exports list their weights among the inputs
		if _, weight := g.Constants[in.Name]; !weight {
			inputs = append(inputs, in)
		}
	}
	g.Inputs = inputs
	for i, n := range g.Nodes {
		for _, o := range n.Outputs {
			if _, twice := g.producer[o]; twice && o != "" {
				return nil, fmt.Errorf("two nodes make tensor %q", o)
			}
			g.producer[o] = i
		}
		for _, in := range n.Inputs {
			g.readers[in] = append(g.readers[in], i)
		}
		// Exporters write equal weights once and hand them on.
		if n.Op == "Identity" && len(n.Inputs) == 1 && len(n.Outputs) == 1 {
			if c, ok := g.Constants[n.Inputs[0]]; ok {
				c.Name, c.node = n.Outputs[0], true
				g.Constants[c.Name] = c
			}
		}
	}
	return g, nil
}

func (g *Graph) readOpset(p []byte) error {
	s := operatorSet{}
	err := fields(p, func(n protowire.Number, p []byte, v uint64) error {
		switch n {
		case 1:
			s.domain = string(p)
		case 2:
			s.version = int(v)
		}
		return nil
	})
	if s.domain == "" || s.domain == "ai.onnx" {
		g.Opset = s.version
	} else {
		g.domains = append(g.domains, s)
	}
	return err
}

func (g *Graph) read(graph []byte) error {
	return fields(graph, func(n protowire.Number, p []byte, _ uint64) error {
		switch n {
		case 1:
			node, err := readNode(p)
			if err != nil {
				return err
			}
			g.Nodes = append(g.Nodes, node)
			if c, ok := node.Attributes["value"].(Constant); ok && node.Op == "Constant" && len(node.Outputs) == 1 {
				c.Name = node.Outputs[0]
				c.node = true
				g.Constants[c.Name] = c
			}
		case 5:
			c, err := readTensor(p)
			if err != nil {
				return err
			}
			g.Constants[c.Name] = c
		case 11, 12:
			v, err := readValue(p)
			if err != nil {
				return err
			}
			if n == 11 {
				g.Inputs = append(g.Inputs, v)
			} else {
				g.Outputs = append(g.Outputs, v)
			}
		}
		return nil
	})
}

// Producer is the node that makes a tensor.
func (g *Graph) Producer(tensor string) (Node, bool) {
	i, ok := g.producer[tensor]
	if !ok {
		return Node{}, false
	}
	return g.Nodes[i], true
}

// Readers are the nodes that read a tensor.
func (g *Graph) Readers(tensor string) []Node {
	var ns []Node
	for _, i := range g.readers[tensor] {
		ns = append(ns, g.Nodes[i])
	}
	return ns
}

// Between are the nodes, in their order, that make outputs when the tensors of
// from are given.
func (g *Graph) Between(from, outputs []string) []Node {
	given := map[string]bool{}
	for _, f := range from {
		given[f] = true
	}
	needed := make([]bool, len(g.Nodes))
	stack := append([]string(nil), outputs...)
	for len(stack) > 0 {
		t := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		i, made := g.producer[t]
		if !made || given[t] || needed[i] {
			continue
		}
		needed[i] = true
		stack = append(stack, g.Nodes[i].Inputs...)
	}
	var nodes []Node
	for i, n := range needed {
		if n {
			nodes = append(nodes, g.Nodes[i])
		}
	}
	return nodes
}

// Part is the model that makes outputs from the tensors of inputs, written in
// the operators of the model that was read.
func (g *Graph) Part(inputs []Value, outputs []string) Model {
	var from []string
	for _, in := range inputs {
		from = append(from, in.Name)
	}
	m := Model{Nodes: g.Between(from, outputs), Inputs: inputs, Opset: g.Opset, domains: g.domains}
	taken := map[string]bool{}
	for _, n := range m.Nodes {
		for _, in := range n.Inputs {
			if c, ok := g.Constants[in]; ok && !c.node && !taken[in] {
				taken[in] = true
				m.Constants = append(m.Constants, c)
			}
		}
	}
	for _, o := range outputs {
		m.Outputs = append(m.Outputs, Value{Name: o})
	}
	return m
}

// WithInput is the node with one of its inputs exchanged.
func (n Node) WithInput(from, to string) Node {
	n.Inputs = slices.Clone(n.Inputs)
	for i, in := range n.Inputs {
		if in == from {
			n.Inputs[i] = to
		}
	}
	if n.raw == nil {
		return n
	}
	// Protocol buffers keep the order of a repeated field alone.
	var inputs message
	for _, in := range n.Inputs {
		inputs.string(1, in)
	}
	rest := n.raw
	for len(rest) > 0 {
		number, _, length := protowire.ConsumeField(rest)
		if length < 0 {
			break // it was read before, so it is whole
		}
		if number != 1 {
			inputs = append(inputs, rest[:length]...)
		}
		rest = rest[length:]
	}
	n.raw = inputs
	return n
}

func readNode(p []byte) (Node, error) {
	n := Node{Attributes: Attributes{}, raw: p}
	err := fields(p, func(f protowire.Number, p []byte, _ uint64) error {
		switch f {
		case 1:
			n.Inputs = append(n.Inputs, string(p))
		case 2:
			n.Outputs = append(n.Outputs, string(p))
		case 4:
			n.Op = string(p)
		case 5:
			name, value, err := readAttribute(p)
			n.Attributes[name] = value
			return err
		case 7:
			n.Domain = string(p)
		}
		return nil
	})
	return n, err
}

func readAttribute(p []byte) (name string, value any, err error) {
	var ints []int
	err = fields(p, func(n protowire.Number, p []byte, v uint64) (err error) {
		switch n {
		case 1:
			name = string(p)
		case 2:
			value = math.Float32frombits(uint32(v))
		case 3:
			value = int(int64(v))
		case 4:
			value = string(p)
		case 5:
			value, err = readTensor(p)
		case 8:
			if ints == nil {
				ints = []int{}
			}
			return varints(p, v, func(v uint64) { ints = append(ints, int(int64(v))) })
		}
		return err
	})
	if ints != nil {
		value = ints
	}
	return name, value, err
}

// maxElements bounds what a hostile model allocates.
const maxElements = 1 << 29

func readTensor(p []byte) (Constant, error) {
	c := Constant{raw: p}
	var data []byte
	hasData := false
	err := fields(p, func(n protowire.Number, p []byte, v uint64) error {
		switch n {
		case 1:
			return varints(p, v, func(v uint64) { c.Shape = append(c.Shape, int(int64(v))) })
		case 2:
			c.Element = int(v)
		case 4:
			if p == nil { // not packed
				c.Floats = append(c.Floats, math.Float32frombits(uint32(v)))
				return nil
			}
			for ; len(p) >= 4; p = p[4:] {
				c.Floats = append(c.Floats, math.Float32frombits(binary.LittleEndian.Uint32(p)))
			}
		case 7:
			return varints(p, v, func(v uint64) { c.Ints = append(c.Ints, int64(v)) })
		case 8:
			c.Name = string(p)
		case 9:
			data, hasData = p, true
		case 13, 14:
			c.External = true
		}
		return nil
	})
	if err != nil {
		return c, err
	}
	elements := 1
	for _, d := range c.Shape {
		if d < 0 || elements > maxElements/max(d, 1) {
			return c, fmt.Errorf("tensor %q has shape %v", c.Name, c.Shape)
		}
		elements *= d
	}
	switch {
	case !hasData:
	case c.Element == ElementFloat:
		c.Floats = make([]float32, len(data)/4)
		for i := range c.Floats {
			c.Floats[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
		}
	case c.Element == ElementInt64:
		c.Ints = make([]int64, len(data)/8)
		for i := range c.Ints {
			c.Ints[i] = int64(binary.LittleEndian.Uint64(data[8*i:]))
		}
	}
	if !c.External && (c.Element == ElementFloat && len(c.Floats) != elements || c.Element == ElementInt64 && len(c.Ints) != elements) {
		return c, fmt.Errorf("tensor %q of shape %v holds %d values", c.Name, c.Shape, len(c.Floats)+len(c.Ints))
	}
	return c, nil
}

func readValue(p []byte) (v Value, err error) {
	err = fields(p, func(n protowire.Number, p []byte, _ uint64) error {
		switch n {
		case 1:
			v.Name = string(p)
		case 2:
			return fields(p, func(n protowire.Number, p []byte, _ uint64) error {
				if n != 1 {
					return nil
				}
				return fields(p, func(n protowire.Number, p []byte, x uint64) error {
					switch n {
					case 1:
						v.Element = int(x)
					case 2:
						v.Shape = []any{}
						return fields(p, func(n protowire.Number, p []byte, _ uint64) error {
							var dim any = ""
							err := fields(p, func(n protowire.Number, p []byte, x uint64) error {
								switch n {
								case 1:
									dim = int(int64(x))
								case 2:
									dim = string(p)
								}
								return nil
							})
							v.Shape = append(v.Shape, dim)
							return err
						})
					}
					return nil
				})
			})
		}
		return nil
	})
	return v, err
}

// varints calls f for each value of a repeated integer, packed or not.
func varints(p []byte, v uint64, f func(uint64)) error {
	if p == nil {
		f(v)
		return nil
	}
	for len(p) > 0 {
		x, n := protowire.ConsumeVarint(p)
		if n < 0 {
			return fmt.Errorf("not an ONNX file: %w", protowire.ParseError(n))
		}
		f(x)
		p = p[n:]
	}
	return nil
}

// fields calls f for every field of a message: p is the content of a
// length-delimited one (never nil), x the value of any other.
func fields(message []byte, f func(n protowire.Number, p []byte, x uint64) error) error {
	for len(message) > 0 {
		number, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return fmt.Errorf("not an ONNX file: %w", protowire.ParseError(n))
		}
		message = message[n:]
		var p []byte
		var x uint64
		switch kind {
		case protowire.BytesType:
			p, n = protowire.ConsumeBytes(message)
			if p == nil {
				p = []byte{}
			}
		case protowire.VarintType:
			x, n = protowire.ConsumeVarint(message)
		case protowire.Fixed32Type:
			var v uint32
			v, n = protowire.ConsumeFixed32(message)
			x = uint64(v)
		default:
			n = protowire.ConsumeFieldValue(number, kind, message)
		}
		if n < 0 {
			return fmt.Errorf("not an ONNX file: %w", protowire.ParseError(n))
		}
		message = message[n:]
		if err := f(number, p, x); err != nil {
			return err
		}
	}
	return nil
}
