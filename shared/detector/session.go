package detector

import (
	"context"
	"fmt"
	"runtime"

	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/imaging"
	"github.com/litterloop/litterloop/shared/imaging/jpegrows"
	ort "github.com/yalue/onnxruntime_go"
)

// session is the model loaded for a number of threads.
type session struct{ s *ort.DynamicAdvancedSession }

func newSession(model []byte, spec Spec, threads int, provider string) (*session, error) {
	o, err := ort.NewSessionOptions()
	if err != nil {
		return nil, err
	}
	defer o.Destroy()
	for _, set := range []func() error{
		func() error { return o.SetIntraOpNumThreads(threads) },
		func() error { return o.SetInterOpNumThreads(1) },
		// A thread that waits for the next part of a run spins for 100 µs, longer
		// than almost every gap between parts, then sleeps. Without, a lone photo
		// takes 15 % longer; ONNX Runtime's own default burns the processor long
		// after the run, several times slower for whatever else wants it.
		func() error { return o.AddSessionConfigEntry("session.intra_op.spin_duration_us", "100") },
		func() error { return o.AddSessionConfigEntry("session.inter_op.allow_spinning", "0") },
		// A plan of memory for each shape of input keeps a block for each at the
		// size of its peak: half as much memory again, for no time that shows.
		func() error { return o.SetMemPattern(false) },
		func() error { return o.AddSessionConfigEntry("session.use_env_allocators", "1") },
		func() error { return provide(o, provider) },
	} {
		if err := set(); err != nil {
			return nil, fmt.Errorf("set up ONNX Runtime: %w", err)
		}
	}
	s, err := ort.NewDynamicAdvancedSessionWithONNXData(model, []string{spec.input}, []string{spec.output}, o)
	if err != nil {
		return nil, errs.Permanentf(ModelUnreadable, "ONNX Runtime refuses the model: %w", err)
	}
	trim()
	return &session{s}, nil
}

func provide(o *ort.SessionOptions, provider string) error {
	switch provider {
	case "", "cpu":
		return nil
	case "cuda":
		c, err := ort.NewCUDAProviderOptions()
		if err != nil {
			return fmt.Errorf("this ONNX Runtime has no CUDA provider (set EXECUTION_PROVIDER=cpu, or install the GPU build): %w", err)
		}
		defer c.Destroy()
		if err := o.AppendExecutionProviderCUDA(c); err != nil {
			return fmt.Errorf("the CUDA provider does not start (set EXECUTION_PROVIDER=cpu, or mend the driver): %w", err)
		}
		return nil
	}
	return errs.Permanentf("provider-unknown", "execution provider %q is neither cpu nor cuda", provider)
}

func (s *session) close() error { return s.s.Destroy() }

// worker is the memory of one photo in work, used again for the next.
type worker struct {
	loader  imaging.Loader
	input   []float32 // planes; pinned, since tensors point into it from C
	half    []byte    // input as float16, where the model wants that
	pin     runtime.Pinner
	options *ort.RunOptions
	nms     suppressor
}

func newWorker(spec Spec, maxPixels int) (*worker, error) {
	o, err := ort.NewRunOptions()
	if err != nil {
		return nil, err
	}
	w := &worker{options: o, input: make([]float32, 3*spec.Width*spec.Height)}
	w.loader = imaging.Loader{MaxPixels: maxPixels, Rows: jpegrows.Open}
	w.pin.Pin(&w.input[0])
	if spec.Half {
		w.half = make([]byte, 2*len(w.input))
		w.pin.Pin(&w.half[0])
	}
	return w, nil
}

func (w *worker) close() {
	w.options.Destroy()
	w.pin.Unpin()
}

// run feeds the worker's input of width x height and hands the output to use,
// which must not keep it. When ctx ends, the run stops.
func (s *session) run(ctx context.Context, w *worker, width, height int, use func(out []float32, shape []int64) error) error {
	in, err := w.tensor(width, height)
	if err != nil {
		return err
	}
	defer in.Destroy()
	return s.exec(ctx, w.options, in, use)
}

// exec is one run, ended early when ctx ends. The options must be in no other
// run.
func (s *session) exec(ctx context.Context, o *ort.RunOptions, in ort.Value, use func(out []float32, shape []int64) error) error {
	stopped := make(chan struct{})
	unwatch := context.AfterFunc(ctx, func() {
		o.Terminate()
		close(stopped)
	})
	outputs := []ort.Value{nil}
	err := s.s.RunWithOptions([]ort.Value{in}, outputs, o)
	if !unwatch() {
		<-stopped // so that it cannot stop the worker's next run
		o.UnsetTerminate()
	}
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("run the model: %w", err)
	}
	defer outputs[0].Destroy()
	out, ok := outputs[0].(*ort.Tensor[float32])
	if !ok {
		return errs.Permanentf(ModelUnsupported, "the model's output is a %T, not a tensor of floats", outputs[0])
	}
	return use(out.GetData(), out.GetShape())
}

func (w *worker) tensor(width, height int) (ort.Value, error) {
	shape := ort.NewShape(1, 3, int64(height), int64(width))
	n := 3 * width * height
	if w.half == nil {
		return ort.NewTensor(shape, w.input[:n])
	}
	narrow(w.half, w.input[:n])
	return ort.NewCustomDataTensor(shape, w.half[:2*n], ort.TensorElementDataTypeFloat16)
}
