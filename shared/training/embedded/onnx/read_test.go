package onnx

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestParse_readsWhatWasWritten(t *testing.T) {
	m := model()
	m.Opset = 13
	g, err := Parse(m.Marshal())
	if err != nil {
		t.Fatal(err)
	}
	if g.Opset != 13 || g.Properties["names"] != "{}" {
		t.Errorf("opset %d, properties %v", g.Opset, g.Properties)
	}
	if diff := cmp.Diff(m.Nodes, g.Nodes, cmpopts.IgnoreUnexported(Node{})); diff != "" {
		t.Errorf("nodes (-written +read):\n%s", diff)
	}
	if diff := cmp.Diff([]float32{1}, g.Constants["w"].Floats); diff != "" {
		t.Errorf("weights (-written +read):\n%s", diff)
	}
	if diff := cmp.Diff([]Value{{Name: "x", Shape: []any{"batch", 3}, Element: ElementFloat}}, g.Inputs); diff != "" {
		t.Errorf("inputs (-written +read):\n%s", diff)
	}
}

func TestPart_keepsNodesAsTheyWere(t *testing.T) {
	g, err := Parse(chain().Marshal())
	if err != nil {
		t.Fatal(err)
	}
	part := g.Part([]Value{{Name: "b"}}, []string{"c"})
	if len(part.Nodes) != 1 || part.Nodes[0].Op != "Mul" || len(part.Constants) != 1 {
		t.Fatalf("part has nodes %v and constants %v", part.Nodes, part.Constants)
	}
	if !bytes.Equal(part.Nodes[0].marshal(), chain().Nodes[1].marshal()) {
		t.Error("a node changed on its way")
	}
	renamed := part.Nodes[0].WithInput("b", "other")
	if diff := cmp.Diff([]string{"other", "w"}, renamed.Inputs); diff != "" {
		t.Error(diff)
	}
	again, err := readNode(renamed.marshal())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(renamed, again, cmpopts.IgnoreUnexported(Node{})); diff != "" {
		t.Errorf("renamed and read again:\n%s", diff)
	}
}

// chain is a -> b -> c.
func chain() Model {
	return Model{
		Nodes: []Node{
			{Op: "Sigmoid", Inputs: []string{"a"}, Outputs: []string{"b"}, Attributes: Attributes{}},
			{Op: "Mul", Inputs: []string{"b", "w"}, Outputs: []string{"c"}, Attributes: Attributes{}},
		},
		Constants: []Constant{{Name: "w", Floats: []float32{2}}},
		Inputs:    []Value{{Name: "a"}}, Outputs: []Value{{Name: "c"}},
	}
}

func TestParse_everyPrefixIsRefusedOrWhole(t *testing.T) {
	data := model().Marshal()
	for n := range data {
		g, err := Parse(data[:n])
		if err == nil && (len(g.Nodes) == 0 || len(g.Outputs) == 0) {
			t.Errorf("the first %d of %d bytes are taken for a graph", n, len(data))
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(model().Marshal())
	f.Add(chain().Marshal())
	f.Add([]byte("\x3a\x05hello"))
	f.Fuzz(func(t *testing.T, data []byte) {
		g, err := Parse(data)
		if err != nil {
			return
		}
		outputs := []string{}
		for _, o := range g.Outputs {
			outputs = append(outputs, o.Name)
		}
		part := g.Part(g.Inputs, outputs)
		for i, n := range part.Nodes {
			part.Nodes[i] = n.WithInput("x", "y")
		}
		part.Marshal()
	})
}
