// Package detector runs an object detection model on photos and answers what
// Ultralytics' own predict answers, box for box. It takes any Ultralytics
// detection export in ONNX: static or dynamic shape, with suppression inside
// (nms=True, end-to-end) or without.
package detector

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/imaging"
	"github.com/litterloop/litterloop/shared/modelpackage"
	"github.com/litterloop/litterloop/shared/onnxruntime"
)

// Options of Open. The zero value is best for serving.
type Options struct {
	// Workers is how many photos are in work at once; 0: one a processor. More
	// only costs memory.
	Workers int
	// Threads run one photo through the model when it is alone; 0: one a
	// processor. Under load every photo runs on a single thread, which wastes
	// none in waiting.
	Threads int
	// MaxPixels of a photo; 0: imaging.DefaultMaxPixels.
	MaxPixels int
	// Provider is "" or "cpu", or "cuda".
	Provider string
}

// Detector answers photos. Safe for concurrent use.
type Detector struct {
	spec    Spec
	options Options
	lone    *session        // all threads
	loaded  func() *session // one thread; nil until it is ready
	workers chan *worker
	all     []*worker
	close   func() error
}

// errClosed is returned by Detect after Close.
var errClosed = errors.New("detector is closed")

// Open loads a model. A permanent error (ModelUnreadable, ModelUnsupported)
// says why the model is refused; any other is the machine's.
func Open(model []byte, o Options) (*Detector, error) {
	spec, err := readSpec(model)
	if err != nil {
		return nil, err
	}
	if err := onnxruntime.Init(); err != nil {
		return nil, err
	}
	if o.Workers == 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	if o.Threads == 0 {
		o.Threads = runtime.GOMAXPROCS(0)
	}
	if spec.Half {
		model, spec.output = withFloatOutput(model, spec.output)
	}
	d := &Detector{spec: spec, options: o, workers: make(chan *worker, o.Workers)}
	if d.lone, err = newSession(model, spec, o.Threads, o.Provider); err != nil {
		return nil, err
	}
	d.openLoaded(model)
	for range o.Workers {
		w, err := newWorker(spec, o.MaxPixels)
		if err != nil {
			return nil, errors.Join(err, d.Close())
		}
		d.all = append(d.all, w)
		d.workers <- w
	}
	return d, nil
}

// openLoaded prepares the session of one thread in the background, once a first
// photo was answered or others wait: that photo shares the processors with
// nothing. Where it cannot be had, the other one serves all.
func (d *Detector) openLoaded(model []byte) {
	if d.options.Threads == 1 || d.options.Workers == 1 || d.options.Provider == "cuda" {
		d.loaded = func() *session { return d.lone }
		d.close = sync.OnceValue(d.lone.close)
		return
	}
	var s *session
	ready := make(chan struct{})
	var begin sync.Once
	d.loaded = func() *session {
		begin.Do(func() {
			go func() {
				defer close(ready)
				if opened, err := newSession(model, d.spec, 1, d.options.Provider); err == nil {
					s = opened
				}
				model = nil // ONNX Runtime has a copy
			}()
		})
		select {
		case <-ready:
			return s
		default:
			return nil
		}
	}
	d.close = sync.OnceValue(func() error {
		begin.Do(func() { close(ready) }) // never, if not yet
		<-ready
		if s == nil {
			return d.lone.close()
		}
		return errors.Join(d.lone.close(), s.close())
	})
}

// Spec is what the model says about itself.
func (d *Detector) Spec() Spec { return d.spec }

// Detect finds the objects on a photo, best first. A permanent error carries
// imaging's reasons or "query-invalid"; the context's error is returned when it
// ends before the answer, and stops a run in progress.
func (d *Detector) Detect(ctx context.Context, photo []byte, q Query) (Result, error) {
	if err := q.Validate(len(d.spec.Classes)); err != nil {
		return Result{}, errs.Permanent(QueryInvalid, err)
	}
	began := time.Now()
	var w *worker
	select {
	case <-ctx.Done():
		return Result{}, ctx.Err()
	case free, ok := <-d.workers:
		if !ok {
			return Result{}, errClosed
		}
		w = free
	}
	defer func() {
		d.workers <- w
		d.loaded()
	}()
	if err := ctx.Err(); err != nil { // select takes a free worker as readily as the end
		return Result{}, err
	}
	return w.detect(ctx, d, photo, q.withDefaults(), began)
}

// QueryInvalid is the reason of a query out of range.
const QueryInvalid errs.Code = "query-invalid"

// choose follows the load: a photo that is alone uses every processor.
func (d *Detector) choose() *session {
	if len(d.workers) < d.options.Workers-1 {
		if s := d.loaded(); s != nil {
			return s
		}
	}
	return d.lone
}

// Close waits for the photos in work and frees the model.
func (d *Detector) Close() error {
	for range d.all {
		w, ok := <-d.workers
		if !ok {
			return nil // closed before
		}
		w.close()
	}
	close(d.workers)
	return d.close()
}

// detections turns boxes of the input into the photo's.
func (d *Detector) detections(boxes []box, g imaging.Geometry) []modelpackage.Detection {
	out := make([]modelpackage.Detection, len(boxes))
	for i, b := range boxes {
		x1, y1, x2, y2 := g.Unmap(b.x1, b.y1, b.x2, b.y2)
		out[i] = modelpackage.Detection{
			Box:     [4]float64{float64(x1), float64(y1), float64(x2), float64(y2)},
			ClassID: b.class, Class: d.spec.Classes[b.class], Confidence: float64(b.score),
		}
	}
	return out
}

// decode reads the model's output, whose shape tells its kind.
func (d *Detector) decode(w *worker, out []float32, shape []int64, q Query) ([]box, error) {
	classes := len(d.spec.Classes)
	switch {
	case len(shape) == 3 && shape[0] == 1 && shape[2] == 6:
		return w.nms.rows(out, classes, int(shape[1]), q), nil
	case len(shape) == 3 && shape[0] == 1 && shape[1] == int64(4+classes):
		return w.nms.anchors(out, classes, int(shape[2]), q), nil
	}
	return nil, errs.Permanentf(ModelUnsupported, "the model's output has shape %v; with %d classes it must be [1, %d, anchors] or [1, boxes, 6]", shape, classes, 4+classes)
}

// run is one photo through the model.
func (w *worker) detect(ctx context.Context, d *Detector, photo []byte, q Query, began time.Time) (Result, error) {
	var r Result
	lap := func() time.Duration {
		now := time.Now()
		took := now.Sub(began)
		began = now
		return took
	}
	r.Timings.Wait = lap()
	g, err := w.loader.Load(w.input, photo, d.fit)
	if err != nil {
		return r, err
	}
	r.Width, r.Height = g.PhotoW, g.PhotoH
	r.Timings.Decode = lap()
	r.Stats = imaging.MeasureInput(w.input, g)
	r.Timings.Preprocess = lap()
	var boxes []box
	err = d.choose().run(ctx, w, g.InputW, g.InputH, func(out []float32, shape []int64) (err error) {
		r.Timings.Inference = lap()
		boxes, err = d.decode(w, out, shape, q)
		return err
	})
	if err != nil {
		return r, fmt.Errorf("detect on %dx%d photo: %w", r.Width, r.Height, err)
	}
	r.Detections = d.detections(boxes, g)
	r.Timings.Postprocess = lap()
	return r, nil
}

func (d *Detector) fit(w, h int) imaging.Geometry {
	if d.spec.Dynamic {
		return imaging.FitRect(w, h, d.spec.Width, d.spec.Height, d.spec.Stride)
	}
	return imaging.Fit(w, h, d.spec.Width, d.spec.Height)
}
