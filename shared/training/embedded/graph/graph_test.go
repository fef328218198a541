package graph_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/litterloop/litterloop/shared/onnxruntime"
	"github.com/litterloop/litterloop/shared/training/embedded/graph"
	"github.com/litterloop/litterloop/shared/training/embedded/session"
)

func needRuntime(t testing.TB) {
	t.Helper()
	if err := onnxruntime.Init(); err != nil {
		t.Skip("needs ONNX Runtime:", err)
	}
}

const (
	batch = 2
	size  = 16
)

// network is a small one around the operator under test; it ends in [N,C,A].
type network func(b *graph.Builder, images graph.Tensor) graph.Tensor

func bias(n int) []float32 { return make([]float32, n) }

func TestGradient_equalsFiniteDifferences(t *testing.T) {
	needRuntime(t)
	// Every network puts the operator under test between two layers with
	// parameters, so that both its own gradient and the one it hands on count.
	for name, build := range map[string]network{
		"convolution 1x1 with bias": func(b *graph.Builder, x graph.Tensor) graph.Tensor {
			return b.Flatten(b.Conv1x1("last", b.Conv1x1("tested", b.ConvBN("first", x, 4, 1, 1), bias(4)), bias(3)))
		},
		"convolution 3x3, normalisation, SiLU": func(b *graph.Builder, x graph.Tensor) graph.Tensor {
			return b.Flatten(b.Conv1x1("last", b.ConvBN("tested", b.Conv1x1("first", x, bias(4)), 5, 3, 1), bias(3)))
		},
		"convolution 1x1, normalisation, SiLU": func(b *graph.Builder, x graph.Tensor) graph.Tensor {
			return b.Flatten(b.Conv1x1("last", b.ConvBN("tested", b.Conv1x1("first", x, bias(4)), 5, 1, 1), bias(3)))
		},
		"convolution 3x3 of stride 2": func(b *graph.Builder, x graph.Tensor) graph.Tensor {
			return b.Flatten(b.Conv1x1("last", b.ConvBN("tested", b.Conv1x1("first", x, bias(4)), 5, 3, 2), bias(3)))
		},
		"convolution 6x6 of stride 4": func(b *graph.Builder, x graph.Tensor) graph.Tensor {
			return b.Flatten(b.Conv1x1("last", b.ConvBN("tested", b.Conv1x1("first", x, bias(4)), 5, 6, 4), bias(3)))
		},
		"sum of a tensor read twice": func(b *graph.Builder, x graph.Tensor) graph.Tensor {
			h := b.Conv1x1("first", x, bias(4))
			return b.Flatten(b.Conv1x1("last", b.Add(h, b.ConvBN("branch", h, 4, 3, 1)), bias(3)))
		},
		"doubled in size": func(b *graph.Builder, x graph.Tensor) graph.Tensor {
			h := b.ConvBN("first", x, 4, 3, 2)
			return b.Flatten(b.Conv1x1("last", b.Upsample2(h), bias(3)))
		},
		"joined along channels": func(b *graph.Builder, x graph.Tensor) graph.Tensor {
			h := b.Concat(1, b.Conv1x1("first", x, bias(4)), b.ConvBN("second", x, 3, 3, 1))
			return b.Flatten(b.Conv1x1("last", h, bias(3)))
		},
		"joined along anchors": func(b *graph.Builder, x graph.Tensor) graph.Tensor {
			h := b.Conv1x1("first", x, bias(4))
			return b.Concat(2, b.Flatten(b.Conv1x1("last", h, bias(3))), b.Flatten(b.Conv1x1("small", b.ConvBN("down", h, 4, 3, 2), bias(3))))
		},
	} {
		t.Run(name, func(t *testing.T) { checkGradient(t, build, 1e-2) })
	}
}

// checkGradient compares the gradient of a random linear functional of the
// output with differences along a random direction in each parameter.
func checkGradient(t *testing.T, build network, h float64) {
	b := graph.New()
	out := build(b, b.Input("images", batch, 3, size, size))
	pair := b.Train(out)
	forward := open(t, pair.Forward, pair.ForwardInputs, pair.ForwardOutputs)
	backward := open(t, pair.Backward, pair.BackwardInputs, pair.BackwardOutputs)
	r := rand.New(rand.NewPCG(1, 2))
	images := tensor(t, random(r, batch*3*size*size, 1), batch, 3, size, size)
	params := b.Initial(3)
	for i := range params { // biases and head weights start too small to tell
		params[i] += float32(r.NormFloat64() * 0.3)
	}
	functional := tensor(t, random(r, out.Shape[0]*out.Shape[1]*out.Shape[2], 0.1), out.Shape...)
	value := func(p []float32) float64 {
		o := run(t, forward, tensor(t, p, len(p)), images)
		sum := 0.0
		for i, v := range o[0].Data {
			sum += float64(v) * float64(functional.Data[i])
		}
		return sum
	}
	kept := run(t, forward, tensor(t, params, len(params)), images)
	gradient := run(t, backward, append([]*session.Tensor{functional, tensor(t, params, len(params)), images}, kept[pair.Kept:]...)...)[0].Data

	for _, p := range b.Params() {
		plus, minus := append([]float32(nil), params...), append([]float32(nil), params...)
		analytic := 0.0
		for i := p.Offset; i < p.Offset+p.Size; i++ {
			d := r.NormFloat64() / math.Sqrt(float64(p.Size))
			plus[i], minus[i] = params[i]+float32(h*d), params[i]-float32(h*d)
			analytic += d * float64(gradient[i])
		}
		numeric := (value(plus) - value(minus)) / (2 * h)
		// float32 outputs leave about 1e-3 of the difference uncertain.
		if diff := math.Abs(analytic - numeric); diff > 2e-3+0.01*math.Abs(numeric) {
			t.Errorf("parameter %s %v: gradient %g along a direction, finite difference %g", p.Name, p.Shape, analytic, numeric)
		}
	}
}

func TestOptimizer_isAdamW(t *testing.T) {
	needRuntime(t)
	b := graph.New()
	b.Conv1x1("last", b.ConvBN("first", b.Input("images", 1, 2, 4, 4), 2, 1, 1), []float32{0.5})
	model, inputs, outputs := graph.Optimizer(b.Params(), 2)
	optimizer := open(t, model, inputs, outputs)
	r := rand.New(rand.NewPCG(4, 5))
	n := b.ParamSize()
	params, m, v, average := random(r, n, 1), random(r, n, 0.1), make([]float32, n), random(r, n, 1)
	for i := range v {
		v[i] = 0.01 + r.Float32()
	}
	decays := make([]bool, n)
	for _, p := range b.Params() {
		for i := p.Offset; i < p.Offset+p.Size; i++ {
			decays[i] = p.Decay
		}
	}
	const step, rate, decay, ema = 7, 0.1, 0.05, 0.9
	for name, spread := range map[string]float64{"a gradient to clip": 30, "a gradient short enough": 0.3, "no gradient": 0} {
		t.Run(name, func(t *testing.T) {
			parts := [2][]float32{random(r, n, spread), random(r, n, spread)}
			hyper := graph.Hyper(step, rate, decay, ema)
			got := run(t, optimizer, tensor(t, params, n), tensor(t, m, n), tensor(t, v, n), tensor(t, average, n),
				tensor(t, hyper[:], len(hyper)), tensor(t, parts[0], n), tensor(t, parts[1], n))
			norm := 0.0
			for i := range n {
				g := float64(parts[0][i] + parts[1][i])
				norm += g * g
			}
			norm = math.Sqrt(norm)
			clip := math.Min(1, 10/norm)
			if norm == 0 {
				clip = 0
			}
			for i := range n {
				g := float64(parts[0][i]+parts[1][i]) * clip
				m1, m2 := 0.9*float64(m[i])+0.1*g, 0.999*float64(v[i])+0.001*g*g
				update := m1 / (1 - math.Pow(0.9, step)) / (math.Sqrt(m2/(1-math.Pow(0.999, step))) + 1e-8)
				if decays[i] {
					update += decay * float64(params[i])
				}
				next := float64(params[i]) - rate*update
				for k, want := range []float64{next, m1, m2, ema*float64(average[i]) + (1-ema)*next} {
					if math.Abs(want-float64(got[k].Data[i])) > 1e-5*(1+math.Abs(want)) {
						t.Fatalf("output %d of parameter %d is %g, AdamW makes it %g", k, i, got[k].Data[i], want)
					}
				}
			}
			if d := math.Abs(float64(got[4].Data[0]) - norm); d > 1e-4*(1+norm) {
				t.Errorf("norm %g, want %g", got[4].Data[0], norm)
			}
		})
	}
}

// TestInference_foldsNormalisation: with the statistics of a batch, the
// inference graph answers for that batch as the training graph did.
func TestInference_foldsNormalisation(t *testing.T) {
	needRuntime(t)
	build := func(b *graph.Builder, x graph.Tensor) graph.Tensor {
		return b.Flatten(b.Conv1x1("last", b.ConvBN("second", b.ConvBN("first", x, 6, 6, 4), 5, 3, 1), bias(3)))
	}
	b := graph.New()
	pair := b.Train(build(b, b.Input("images", batch, 3, size, size)))
	forward := open(t, pair.Forward, pair.ForwardInputs, pair.ForwardOutputs)
	r := rand.New(rand.NewPCG(6, 7))
	images := tensor(t, random(r, batch*3*size*size, 1), batch, 3, size, size)
	params := random(r, b.ParamSize(), 0.5)
	want := run(t, forward, tensor(t, params, len(params)), images)

	inference := graph.NewInference(graph.Weights{Params: params, Stats: want[1].Data})
	y := build(inference, inference.Input("images", -1, 3, -1, -1))
	got := run(t, open(t, inference.Inference(
		values("images", "n", 3, "h", "w"), values(y.Name, "n", 3, "a"), nil), []string{"images"}, []string{y.Name}), images)
	for i, v := range want[0].Data {
		if math.Abs(float64(v-got[0].Data[i])) > 1e-4*(1+math.Abs(float64(v))) {
			t.Fatalf("output %d: training graph %g, inference graph %g", i, v, got[0].Data[i])
		}
	}
}

func TestInitial_isSeeded(t *testing.T) {
	make := func(seed uint64) []float32 {
		b := graph.New()
		b.ConvBN("layer", b.Input("images", 1, 3, 8, 8), 4, 3, 1)
		return b.Initial(seed)
	}
	same := func(a, b []float32) bool {
		for i := range a {
			if a[i] != b[i] {
				return false
			}
		}
		return true
	}
	if !same(make(1), make(1)) {
		t.Error("one seed drew two sets of weights")
	}
	if same(make(1), make(2)) {
		t.Error("two seeds drew the same weights")
	}
}

// given is a layer of a trained detector with weights of its own.
func layer(name string, in, out, kernel, stride, group int) graph.Convolution {
	r := rand.New(rand.NewPCG(9, uint64(in*out+kernel)))
	return graph.Convolution{
		Name: name, Out: out, Kernel: kernel, Stride: stride, Pad: kernel / 2, Group: group, Rate: 1,
		Weight: random(r, out*in/group*kernel*kernel, 0.3), Bias: random(r, out, 0.3),
	}
}

func TestGradient_ofLayersThatWereTrainedBefore(t *testing.T) {
	needRuntime(t)
	around := func(operator func(b *graph.Builder, x graph.Tensor) graph.Tensor) network {
		return func(b *graph.Builder, x graph.Tensor) graph.Tensor {
			h := operator(b, b.Convolve(layer("first", 3, 8, 1, 1, 1), x))
			return b.Flatten(b.Convolve(layer("last", h.Shape[1], 3, 1, 1, 1), h))
		}
	}
	for name, build := range map[string]network{
		"convolution 1x1": around(func(b *graph.Builder, x graph.Tensor) graph.Tensor {
			return b.Convolve(layer("tested", 8, 5, 1, 1, 1), x)
		}),
		"convolution 3x3": around(func(b *graph.Builder, x graph.Tensor) graph.Tensor {
			return b.Convolve(layer("tested", 8, 5, 3, 1, 1), x)
		}),
		"convolution 3x3 of stride 2": around(func(b *graph.Builder, x graph.Tensor) graph.Tensor {
			return b.Convolve(layer("tested", 8, 5, 3, 2, 1), x)
		}),
		"channels alone, 5x5": around(func(b *graph.Builder, x graph.Tensor) graph.Tensor {
			return b.Convolve(layer("tested", 8, 8, 5, 1, 8), x)
		}),
		"channels alone, 3x3 of stride 2": around(func(b *graph.Builder, x graph.Tensor) graph.Tensor {
			return b.Convolve(layer("tested", 8, 8, 3, 2, 8), x)
		}),
		"without a bias": around(func(b *graph.Builder, x graph.Tensor) graph.Tensor {
			l := layer("tested", 8, 5, 3, 1, 1)
			l.Bias = nil
			return b.Convolve(l, x)
		}),
		"SiLU":                   around(func(b *graph.Builder, x graph.Tensor) graph.Tensor { return b.SiLU(x) }),
		"sigmoid":                around(func(b *graph.Builder, x graph.Tensor) graph.Tensor { return b.Sigmoid(x) }),
		"leaky ReLU":             around(func(b *graph.Builder, x graph.Tensor) graph.Tensor { return b.LeakyReLU(x, 0.1) }),
		"product":                around(func(b *graph.Builder, x graph.Tensor) graph.Tensor { return b.Multiply(x, b.Sigmoid(x)) }),
		"greatest channel":       around(func(b *graph.Builder, x graph.Tensor) graph.Tensor { return b.AddChannel(x, b.MaxChannel(x)) }),
		"greatest of 5x5":        around(func(b *graph.Builder, x graph.Tensor) graph.Tensor { return b.MaxPool(x, 5) }),
		"mean of a distribution": around(func(b *graph.Builder, x graph.Tensor) graph.Tensor { return b.Expectation(x, 2) }),
		"fixed normalisation": around(func(b *graph.Builder, x graph.Tensor) graph.Tensor {
			r := rand.New(rand.NewPCG(5, 5))
			return b.Affine(x, random(r, 8, 1), random(r, 8, 1))
		}),
		"attention of two heads": around(func(b *graph.Builder, x graph.Tensor) graph.Tensor {
			n, area := x.Shape[0], x.Shape[2]*x.Shape[3]
			parts := b.Split(2, b.Reshape(x, n, 2, 4, area), 1, 1, 2)
			scores := b.MatMul(b.Transpose(b.Scale(parts[0], 0.7), 0, 1, 3, 2), parts[1])
			mixed := b.MatMul(parts[2], b.Transpose(b.Softmax(scores), 0, 1, 3, 2))
			return b.Reshape(mixed, n, 4, x.Shape[2], x.Shape[3])
		}),
		"split, one part unread": around(func(b *graph.Builder, x graph.Tensor) graph.Tensor {
			parts := b.Split(1, x, 3, 2, 3)
			return b.Concat(1, b.Add(parts[0], parts[2]), parts[2])
		}),
	} {
		// Shorter steps cross fewer of the corners of maxima and rectifiers.
		t.Run(name, func(t *testing.T) { checkGradient(t, build, 1e-3) })
	}
}

func TestOptimizer_ratesOfParameters(t *testing.T) {
	needRuntime(t)
	b := graph.New()
	slow := layer("slow", 2, 2, 1, 1, 1)
	slow.Rate = 0.25
	b.Convolve(layer("fast", 2, 2, 1, 1, 1), b.Convolve(slow, b.Input("images", 1, 2, 4, 4)))
	model, inputs, outputs := graph.Optimizer(b.Params(), 1)
	n := b.ParamSize()
	zero := func() *session.Tensor { return tensor(t, make([]float32, n), n) }
	ones := make([]float32, n)
	for i := range ones {
		ones[i] = 1
	}
	hyper := graph.Hyper(1, 0.01, 0, 0)
	next := run(t, open(t, model, inputs, outputs), zero(), zero(), zero(), zero(), tensor(t, hyper[:], len(hyper)), tensor(t, ones, n))[0].Data
	for _, p := range b.Params() {
		want := -0.01 * float64(p.Rate)
		if got := float64(next[p.Offset]); math.Abs(got-want) > 1e-6 {
			t.Errorf("%s at rate %g moved by %g, want %g", p.Name, p.Rate, got, want)
		}
	}
}
