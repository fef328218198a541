package detectorbench

import (
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/litterloop/litterloop/shared/imaging"
	"github.com/litterloop/litterloop/shared/onnxruntime"
	ort "github.com/yalue/onnxruntime_go"
	"golang.org/x/sys/unix"
)

// floor is what no server can be below: ONNX Runtime's run of the same model on
// an input of the same shape, and libjpeg-turbo's decoding of the whole photo.
type floor struct {
	session *ort.DynamicAdvancedSession
	input   []float32
	shape   ort.Shape
	pin     runtime.Pinner
	photo   []byte
}

// floors of a workload. The session has one thread, as every photo under load.
func newFloor(model []byte, photo []byte) (*floor, error) {
	if err := onnxruntime.Init(); err != nil {
		return nil, err
	}
	info, err := imaging.Header(photo)
	if err != nil {
		return nil, err
	}
	o, err := ort.NewSessionOptions()
	if err != nil {
		return nil, err
	}
	defer o.Destroy()
	if err := o.SetIntraOpNumThreads(1); err != nil {
		return nil, err
	}
	ins, outs, err := ort.GetInputOutputInfoWithONNXData(model)
	if err != nil {
		return nil, fmt.Errorf("read the model: %w", err)
	}
	f := &floor{photo: photo}
	if f.session, err = ort.NewDynamicAdvancedSessionWithONNXData(model, []string{ins[0].Name}, []string{outs[0].Name}, o); err != nil {
		return nil, err
	}
	g := imaging.FitRect(info.W, info.H, 640, 640, 32)
	f.input = make([]float32, 3*g.InputW*g.InputH)
	for i := range f.input {
		f.input[i] = float32(i%251) / 251
	}
	f.pin.Pin(&f.input[0])
	f.shape = ort.NewShape(1, 3, int64(g.InputH), int64(g.InputW))
	return f, nil
}

func (f *floor) close() {
	f.session.Destroy()
	f.pin.Unpin()
}

func (f *floor) run() error {
	in, err := ort.NewTensor(f.shape, f.input)
	if err != nil {
		return err
	}
	defer in.Destroy()
	out := []ort.Value{nil}
	if err := f.session.Run([]ort.Value{in}, out); err != nil {
		return err
	}
	return out[0].Destroy()
}

// decoder decodes whole photos into memory that it keeps.
func (f *floor) decoder() func() error {
	im := new(imaging.Image)
	return func() error { return imaging.DecodeInto(im, f.photo, imaging.Options{}) }
}

// repeat calls each of the functions n times, all of them at once, and returns
// the processor time of a call.
func repeat(n int, fs ...func() error) (time.Duration, error) {
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		fault error
	)
	before := ownCPU()
	for _, f := range fs {
		wg.Go(func() {
			for range n {
				if err := f(); err != nil {
					mu.Lock()
					fault = err
					mu.Unlock()
					return
				}
			}
		})
	}
	wg.Wait()
	return (ownCPU() - before) / time.Duration(n*len(fs)), fault
}

// ownCPU is this process's processor time.
func ownCPU() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
