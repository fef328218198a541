package onnx

import (
	"bytes"
	"testing"
)

func model() Model {
	return Model{
		Nodes: []Node{
			{Op: "Conv", Inputs: []string{"x", "w"}, Outputs: []string{"y"}, Attributes: Attributes{"pads": []int{0, -1}, "alpha": float32(1), "mode": "m", "axis": -1}},
		},
		Constants:  []Constant{{Name: "w", Shape: []int{1}, Floats: []float32{1}}, {Name: "unread", Ints: []int64{1}}},
		Inputs:     []Value{{Name: "x", Shape: []any{"batch", 3}}},
		Outputs:    []Value{{Name: "y"}},
		Properties: []Property{{"names", "{}"}},
	}
}

func TestMarshal_isDeterministic(t *testing.T) {
	want := model().Marshal()
	for range 50 { // attributes are a map
		if !bytes.Equal(want, model().Marshal()) {
			t.Fatal("the same model was encoded in two ways")
		}
	}
}

func TestMarshal_leavesOutWhatNothingReads(t *testing.T) {
	if data := model().Marshal(); bytes.Contains(data, []byte("unread")) || bytes.Contains(data, []byte(Microsoft)) {
		t.Errorf("an unread constant or an unused operator set is in the model: %q", data)
	}
}

func TestMarshal_namesTheOperatorSetInUse(t *testing.T) {
	m := model()
	m.Nodes[0].Domain = Microsoft
	if n := bytes.Count(m.Marshal(), []byte(Microsoft)); n != 2 {
		t.Errorf("%s is named %d times, want by the node and once by the model", Microsoft, n)
	}
}
