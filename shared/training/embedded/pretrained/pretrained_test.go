package pretrained_test

import (
	"bytes"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/onnxruntime"
	"github.com/litterloop/litterloop/shared/training/embedded"
	"github.com/litterloop/litterloop/shared/training/embedded/graph"
	"github.com/litterloop/litterloop/shared/training/embedded/network"
	"github.com/litterloop/litterloop/shared/training/embedded/onnx"
	"github.com/litterloop/litterloop/shared/training/embedded/pretrained"
	"github.com/litterloop/litterloop/shared/training/embedded/session"
)

func needRuntime(t testing.TB) {
	t.Helper()
	if err := onnxruntime.Init(); err != nil {
		t.Skip("needs ONNX Runtime:", err)
	}
}

// beside reads a model that lies beside the repository.
func beside(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", "..", "..", "..", "shared", "data", filepath.FromSlash(name)))
	if err != nil {
		t.Skip("needs a real model beside the repository:", err)
	}
	return data
}

// own is an export of the project's own network, with random weights.
func own(t testing.TB) []byte {
	t.Helper()
	m, err := embedded.Untrained([]string{"can", "bag"}, 96, 3)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	return m.ONNX
}

func TestOpen_findsThePredictionLayers(t *testing.T) {
	needRuntime(t)
	type facts struct {
		Strides    []int
		Code       network.Code
		Bins, Size int
		Objectness bool
		BGR255     bool
		Licence    string
	}
	strides := []int{8, 16, 32}
	agpl := "AGPL-3.0 License (https://ultralytics.com/license)"
	for _, c := range []struct {
		name  string
		model func(testing.TB) []byte
		want  facts
	}{
		{"YOLOX-nano, labelled 416 pixels", func(t testing.TB) []byte { return beside(t, "models/apache/yolox_nano.onnx") },
			facts{strides, network.CentreSize, 1, 0, true, true, "Apache-2.0"}},
		{"YOLO11n of any size", func(t testing.TB) []byte { return beside(t, "parity/yolo11n_dynamic.onnx") },
			facts{strides, network.Distances, 16, 0, false, false, agpl}},
		{"YOLO11n whose attention is written for 640 pixels", func(t testing.TB) []byte { return beside(t, "parity/yolo11n_static.onnx") },
			facts{strides, network.Distances, 16, 640, false, false, agpl}},
		{"this project's own", own, facts{strides, network.LogDistances, 1, 0, false, false, "unknown: the starting model names none"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, err := pretrained.Open(c.model(t))
			if err != nil {
				t.Fatal(err)
			}
			got := facts{m.Strides(), m.Code, m.Bins, m.Size, m.Levels[0].Objectness != "", m.BGR255, m.Licence}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			for _, cut := range []pretrained.Cut{pretrained.Neck, pretrained.Backbone} {
				checkHead(t, m, cut)
			}
		})
	}
}

// checkHead compares the head that learns, before it has learned, with the
// model it was taken from: the trunk's maps through the head's graph must give
// what the whole inference model gives.
func checkHead(t *testing.T, m *pretrained.Model, cut pretrained.Cut) {
	t.Helper()
	size := m.Size
	if size == 0 {
		size = 96
	}
	trunk, maps, err := m.Trunk(cut, size)
	if err != nil {
		t.Fatal(cut, err)
	}
	const classes = 2
	b := graph.New()
	out, err := m.Head(b, maps, 1, size, classes, 0.5)
	if err != nil {
		t.Fatal(cut, err)
	}
	pair := b.Train(out)
	weights := b.Initial(1)
	r := rand.New(rand.NewPCG(1, 2))
	for _, p := range b.Params() { // the new class layers start at zero: give them something to say
		if strings.HasPrefix(p.Name, "class") {
			for i := range p.Size {
				weights[p.Offset+i] = float32(r.NormFloat64() * 0.05)
			}
		}
	}
	image := make([]float32, 3*size*size)
	for i := range image {
		image[i] = float32(i/7%13) / 13
	}
	var names []string
	for _, x := range maps {
		names = append(names, x.Name)
	}
	features := run(t, trunk, []string{network.InputName}, names, tensor(t, image, 1, 3, size, size))
	got := run(t, pair.Forward, pair.ForwardInputs, pair.ForwardOutputs[:1], append([]*session.Tensor{tensor(t, weights, len(weights))}, features...)...)
	raw := m.Raw(b.Params(), weights, classes)
	want := run(t, raw, []string{network.InputName}, []string{network.RawName}, tensor(t, image, 1, 3, size, size))
	if diff := cmp.Diff(want[0].Shape(), got[0].Shape()); diff != "" {
		t.Fatalf("%s: shape (-inference +training):\n%s", cut, diff)
	}
	worst := 0.0
	for i, v := range want[0].Data {
		worst = max(worst, math.Abs(float64(v-got[0].Data[i]))/(1+math.Abs(float64(v))))
	}
	if worst > 1e-4 {
		t.Errorf("%s: the head that learns differs from the model by %g", cut, worst)
	}
	checkBatch(t, m, cut, maps, features, size, weights, got[0].Data)
	// What is exported says the same, decoded.
	export := m.Export(b.Params(), weights, []string{"a", "b"}, nil)
	decoded := run(t, export, []string{network.InputName}, []string{network.OutputName}, tensor(t, image, 1, 3, size, size))[0].Data
	grid := m.Grid(size, size)
	n := grid.Len()
	for a := range n {
		box := grid.Box(want[0].Data, a)
		cx, w := float64(decoded[a]), float64(decoded[2*n+a])
		if math.Abs(cx-w/2-box[0]) > 1e-2 || math.Abs(cx+w/2-box[2]) > 1e-2 {
			t.Fatalf("%s: anchor %d: the exported box is centred at %g and %g wide, the trainer's is %v", cut, a, cx, w, box)
		}
		score := 1 / (1 + math.Exp(-float64(want[0].Data[4*n+a])))
		if math.Abs(float64(decoded[4*n+a])-score) > 1e-4 {
			t.Fatalf("%s: anchor %d scores %g exported, %g in the trainer", cut, a, decoded[4*n+a], score)
		}
	}
}

// checkBatch has two equal photos learn at once: each gives what one alone gives,
// and every layer that learns has a gradient.
func checkBatch(t *testing.T, m *pretrained.Model, cut pretrained.Cut, maps []pretrained.Map, features []*session.Tensor, size int, weights, alone []float32) {
	t.Helper()
	b := graph.New()
	out, err := m.Head(b, maps, 2, size, 2, 0.5)
	if err != nil {
		t.Fatal(cut, err)
	}
	pair := b.Train(out)
	inputs := []*session.Tensor{tensor(t, weights, len(weights))}
	for i, f := range features {
		inputs = append(inputs, tensor(t, slices.Concat(f.Data, f.Data), 2, maps[i].Channels, size/maps[i].Stride, size/maps[i].Stride))
	}
	forward := run(t, pair.Forward, pair.ForwardInputs, pair.ForwardOutputs, inputs...)
	for i, v := range forward[0].Data {
		if want := float64(alone[i%len(alone)]); math.Abs(float64(v)-want) > 1e-3*(1+math.Abs(want)) {
			t.Fatalf("%s: output %d of two photos is %g, of one alone %g", cut, i, v, want)
		}
	}
	r := rand.New(rand.NewPCG(3, 4))
	d := make([]float32, len(forward[0].Data))
	for i := range d {
		d[i] = float32(r.NormFloat64())
	}
	gradient := run(t, pair.Backward, pair.BackwardInputs, pair.BackwardOutputs, slices.Concat([]*session.Tensor{tensor(t, d, out.Shape...)}, inputs, forward[pair.Kept:])...)[0].Data
	for _, p := range b.Params() {
		sum := 0.0
		for _, v := range gradient[p.Offset : p.Offset+p.Size] {
			sum += math.Abs(float64(v))
		}
		if !(sum > 0) || math.IsInf(sum, 0) {
			t.Errorf("%s: the gradient of layer %s adds up to %g", cut, p.Name, sum)
		}
	}
}

func tensor(t testing.TB, data []float32, shape ...int) *session.Tensor {
	t.Helper()
	x, err := session.NewTensor(data, shape...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(x.Release)
	return x
}

func run(t testing.TB, model []byte, inputs, outputs []string, values ...*session.Tensor) []*session.Tensor {
	t.Helper()
	s, err := session.Open(model, inputs, outputs, 1)
	if err != nil {
		t.Fatal(err)
	}
	out, err := s.Run(values...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { session.Release(out); s.Close() })
	return out
}

func TestOpen_refusesInWords(t *testing.T) {
	needRuntime(t)
	whole := own(t)
	image := onnx.Value{Name: "images", Shape: []any{1, 3, 64, 64}}
	weight := onnx.Constant{Name: "w", Shape: []int{4, 3, 1, 1}, Floats: make([]float32, 12)}
	conv := onnx.Node{Op: "Conv", Inputs: []string{"images", "w"}, Outputs: []string{"map"}}
	model := func(m onnx.Model) []byte {
		if m.Inputs == nil {
			m.Inputs = []onnx.Value{image}
		}
		m.Constants = append(m.Constants, weight)
		m.Outputs = []onnx.Value{{Name: "out"}}
		return m.Marshal()
	}
	for _, c := range []struct {
		name  string
		model []byte
		code  errs.Code
		says  string
	}{
		{"nothing", nil, pretrained.Unreadable, "no ONNX graph"},
		{"a photo", []byte("\xff\xd8\xff\xe0\x00\x10JFIF"), pretrained.Unreadable, "not an ONNX file"},
		{"PyTorch's own file", []byte("PK\x03\x04\x00\x00\x08\x08yolox_nano/data.pkl"), pretrained.Unreadable, "export it as ONNX"},
		{"a pointer", []byte("version https://git-lfs.github.com/spec/v1\noid sha256:c3"), pretrained.Unreadable, "git lfs pull"},
		{"cut short", whole[:len(whole)/2], pretrained.Unreadable, ""},
		{"a classifier", model(onnx.Model{Nodes: []onnx.Node{conv,
			{Op: "GlobalAveragePool", Inputs: []string{"map"}, Outputs: []string{"pooled"}},
			{Op: "Gemm", Inputs: []string{"pooled", "w"}, Outputs: []string{"out"}}}}), pretrained.Unsupported, "classifier"},
		{"quantised", model(onnx.Model{Nodes: []onnx.Node{conv, {Op: "DequantizeLinear", Inputs: []string{"map"}, Outputs: []string{"out"}}}}), pretrained.Unsupported, "quantised"},
		{"one layer for all, as YOLOv5 has", model(onnx.Model{Nodes: []onnx.Node{conv, {Op: "Sigmoid", Inputs: []string{"map"}, Outputs: []string{"out"}}}}), pretrained.Unsupported, "one for boxes and one for classes"},
		{"an old operator set", model(onnx.Model{Opset: 9, Nodes: []onnx.Node{conv, {Op: "Sigmoid", Inputs: []string{"map"}, Outputs: []string{"out"}}}}), pretrained.Unsupported, "operator set 9"},
		{"of half-precision weights", bytes.Replace(model(onnx.Model{Nodes: []onnx.Node{conv, {Op: "Sigmoid", Inputs: []string{"map"}, Outputs: []string{"out"}}}}),
			[]byte{8, 4, 8, 3, 8, 1, 8, 1, 16, onnx.ElementFloat}, []byte{8, 4, 8, 3, 8, 1, 8, 1, 16, onnx.ElementFloat16}, 1), pretrained.Unsupported, "half precision"},
		{"a page of the web", []byte("<!DOCTYPE html><html><head><title>Sign in</title>"), pretrained.Unreadable, "a web page"},
		{"of grey photos", model(onnx.Model{Inputs: []onnx.Value{{Name: "images", Shape: []any{1, 1, 64, 64}}}, Nodes: []onnx.Node{conv, {Op: "Sigmoid", Inputs: []string{"map"}, Outputs: []string{"out"}}}}), pretrained.Unsupported, "three channels"},
		{"of two inputs", model(onnx.Model{Inputs: []onnx.Value{image, {Name: "more"}}, Nodes: []onnx.Node{conv, {Op: "Sigmoid", Inputs: []string{"map"}, Outputs: []string{"out"}}}}), pretrained.Unsupported, "2 inputs"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := pretrained.Open(c.model)
			code, permanent := errs.Reason(err)
			if code != c.code || !permanent || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %q %v, want %q with %q", code, err, c.code, c.says)
			}
		})
	}
}

// A file of the same weights, with other names, has the same digest.
func TestDigest_isOfTheWeightsAlone(t *testing.T) {
	needRuntime(t)
	release, _ := pretrained.Find("yolox-nano")
	got, err := pretrained.Digest(beside(t, "models/apache/yolox_nano.onnx"))
	if err != nil || got != release.Tensors {
		t.Errorf("digest %s, %v; the table says %s", got, err, release.Tensors)
	}
}
