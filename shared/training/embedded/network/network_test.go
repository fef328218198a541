package network_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	ort "github.com/yalue/onnxruntime_go"

	"github.com/litterloop/litterloop/shared/onnxruntime"
	"github.com/litterloop/litterloop/shared/training/embedded/graph"
	"github.com/litterloop/litterloop/shared/training/embedded/network"
	"github.com/litterloop/litterloop/shared/training/embedded/session"
)

var small = network.Config{Classes: []string{"can", "bag", "bottle"}, Width: 4}

func needRuntime(t testing.TB) {
	t.Helper()
	if err := onnxruntime.Init(); err != nil {
		t.Skip("needs ONNX Runtime:", err)
	}
}

func open(t *testing.T, model []byte, inputs, outputs []string) *session.Session {
	t.Helper()
	s, err := session.Open(model, inputs, outputs, 2)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func run(t *testing.T, s *session.Session, inputs ...*session.Tensor) []*session.Tensor {
	t.Helper()
	out, err := s.Run(inputs...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { session.Release(out) })
	return out
}

func tensor(t *testing.T, data []float32, shape ...int) *session.Tensor {
	t.Helper()
	x, err := session.NewTensor(data, shape...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(x.Release)
	return x
}

func random(r *rand.Rand, n int, spread float64) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(r.NormFloat64() * spread)
	}
	return v
}

// lively weights: class and box layers large enough that outputs differ.
func lively(r *rand.Rand, b *graph.Builder) []float32 {
	w := b.Initial(1)
	for i := range w {
		w[i] += float32(r.NormFloat64() * 0.05)
	}
	return w
}

// The whole network, by a random linear functional of its output: gradients
// along a random direction in each layer against finite differences.
func TestGradient_ofTheWholeNetwork(t *testing.T) {
	needRuntime(t)
	const batch, size = 2, 64
	b, pair := network.Trainable(small, batch, size)
	forward := open(t, pair.Forward, pair.ForwardInputs, pair.ForwardOutputs)
	backward := open(t, pair.Backward, pair.BackwardInputs, pair.BackwardOutputs)
	r := rand.New(rand.NewPCG(1, 2))
	images := tensor(t, random(r, batch*3*size*size, 1), batch, 3, size, size)
	w := lively(r, b)
	grid := network.NewGrid(size, size)
	functional := tensor(t, random(r, batch*(4+len(small.Classes))*grid.Len(), 0.01), batch, 4+len(small.Classes), grid.Len())
	value := func(w []float32) float64 {
		sum := 0.0
		for i, v := range run(t, forward, tensor(t, w, len(w)), images)[0].Data {
			sum += float64(v) * float64(functional.Data[i])
		}
		return sum
	}
	kept := run(t, forward, tensor(t, w, len(w)), images)[2:]
	gradient := run(t, backward, append([]*session.Tensor{functional, tensor(t, w, len(w)), images}, kept...)...)[0].Data

	var dot, analytic2, numeric2 float64
	for _, p := range b.Params() {
		h := 2e-3
		plus, minus := append([]float32(nil), w...), append([]float32(nil), w...)
		analytic := 0.0
		for i := p.Offset; i < p.Offset+p.Size; i++ {
			d := r.NormFloat64()
			plus[i] += float32(h * d)
			minus[i] -= float32(h * d)
			analytic += float64(plus[i]-minus[i]) / (2 * h) * float64(gradient[i])
		}
		numeric := (value(plus) - value(minus)) / (2 * h)
		dot, analytic2, numeric2 = dot+analytic*numeric, analytic2+analytic*analytic, numeric2+numeric*numeric
	}
	if cosine := dot / math.Sqrt(analytic2*numeric2); cosine < 0.999 {
		t.Errorf("cosine of gradient and finite differences is %.6f, want above 0.999", cosine)
	}
	if ratio := math.Sqrt(analytic2 / numeric2); ratio < 0.99 || ratio > 1.01 {
		t.Errorf("the gradient is %.4f times as long as the finite differences", ratio)
	}
}

func exported(t *testing.T, c network.Config) graph.Weights {
	t.Helper()
	b, _ := network.Trainable(c, 1, 64)
	r := rand.New(rand.NewPCG(3, 4))
	w := graph.Weights{Params: lively(r, b), Stats: b.InitialStats()}
	for i := range w.Stats {
		w.Stats[i] += 0.5 * r.Float32()
	}
	return w
}

// Any multiple of 32 on either side, any batch: the decoding inside the exported
// model equals Grid's on the raw maps.
func TestExport_decodesAsGrid(t *testing.T) {
	needRuntime(t)
	w := exported(t, small)
	raw := open(t, network.Raw(small, w), []string{network.InputName}, []string{network.RawName})
	model := open(t, network.Export(small, w, 64), []string{network.InputName}, []string{network.OutputName})
	r := rand.New(rand.NewPCG(5, 6))
	for _, in := range []struct{ batch, height, width int }{{1, 64, 64}, {1, 32, 32}, {1, 96, 160}, {1, 160, 32}, {3, 64, 96}} {
		t.Run(fmt.Sprint(in), func(t *testing.T) {
			images := tensor(t, random(r, in.batch*3*in.height*in.width, 1), in.batch, 3, in.height, in.width)
			maps, got := run(t, raw, images)[0], run(t, model, images)[0]
			grid := network.NewGrid(in.height, in.width)
			outputs := 4 + len(small.Classes)
			if want := fmt.Sprint([]int{in.batch, outputs, grid.Len()}); fmt.Sprint(got.Shape()) != want {
				t.Fatalf("output of shape %v, want %s", got.Shape(), want)
			}
			n := grid.Len()
			for i := range in.batch {
				m, out := maps.Data[i*outputs*n:(i+1)*outputs*n], got.Data[i*outputs*n:(i+1)*outputs*n]
				for a := range n {
					b := grid.Box(m, a)
					want := []float64{(b[0] + b[2]) / 2, (b[1] + b[3]) / 2, b[2] - b[0], b[3] - b[1]}
					for c := range small.Classes {
						want = append(want, 1/(1+math.Exp(-float64(m[(4+c)*n+a]))))
					}
					for k, v := range want {
						if diff := math.Abs(v - float64(out[k*n+a])); diff > 1e-4*(1+math.Abs(v)) {
							t.Fatalf("photo %d, anchor %d, row %d: exported %g, decoded %g", i, a, k, out[k*n+a], v)
						}
					}
				}
			}
		})
	}
}

func TestExport_isDeterministic(t *testing.T) {
	w, _ := network.Initial(small, 1)
	if first, again := network.Export(small, w, 64), network.Export(small, w, 64); string(first) != string(again) {
		t.Error("the same weights were exported as two different models")
	}
}

func TestExport_metadataIsUltralytics(t *testing.T) {
	needRuntime(t)
	c := network.Config{Width: 4, Classes: []string{"can", "bottle's cap", `back\slash`, "två\nlines", "", "\x01", `"quoted"`}}
	md, err := ort.GetModelMetadataWithONNXData(network.Export(c, exported(t, c), 320))
	if err != nil {
		t.Fatal(err)
	}
	defer md.Destroy()
	for key, want := range map[string]string{
		"task": "detect", "stride": "32", "batch": "1", "imgsz": "[320, 320]",
		"names": `{0: 'can', 1: 'bottle\'s cap', 2: 'back\\slash', 3: 'två\nlines', 4: '', 5: '\x01', 6: '"quoted"'}`,
	} {
		if got, _, err := md.LookupCustomMetadataMap(key); err != nil || got != want {
			t.Errorf("metadata %s is %q (%v), want %q", key, got, err, want)
		}
	}
}

func TestNewGrid_ordersAnchorsAsTheOutput(t *testing.T) {
	g := network.NewGrid(64, 96)
	if want := 8*12 + 4*6 + 2*3; g.Len() != want {
		t.Fatalf("%d anchors, want %d", g.Len(), want)
	}
	for _, c := range []struct {
		anchor       int
		x, y, stride float64
	}{{0, 4, 4, 8}, {1, 12, 4, 8}, {12, 4, 12, 8}, {96, 8, 8, 16}, {96 + 24, 16, 16, 32}, {96 + 24 + 5, 80, 48, 32}} {
		if g.X[c.anchor] != c.x || g.Y[c.anchor] != c.y || g.Stride[c.anchor] != c.stride {
			t.Errorf("anchor %d is at (%g, %g) of stride %g, want (%g, %g) of %g", c.anchor, g.X[c.anchor], g.Y[c.anchor], g.Stride[c.anchor], c.x, c.y, c.stride)
		}
	}
}
