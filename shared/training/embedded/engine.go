package embedded

import (
	"errors"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/litterloop/litterloop/shared/training/embedded/graph"
	"github.com/litterloop/litterloop/shared/training/embedded/loss"
	"github.com/litterloop/litterloop/shared/training/embedded/session"
)

// engine holds the network and the optimiser's state inside the runtime. A
// batch is worked in parts, one goroutine each: two parts of two photos on two
// cores take three quarters of the time of one part of four whose operators are
// each spread over both.
type engine struct {
	params                       []*graph.Param
	forward, backward, optimizer *session.Session
	kept                         int // index of the first of forward's outputs that backward reads
	loss                         *loss.Loss
	still                        still
	trunk                        *session.Session // of still; nil where everything learns
	work                         []work           // of each part
	cache                        *cache           // of what the trunk gave; nil where every input is new
	imageSize                    int
	// state is parameters, first moments, second moments and averaged
	// parameters: what the optimiser reads and puts out anew.
	state [4]*session.Tensor
	next  []*session.Tensor // what the optimiser writes: a state, and the gradient's norm
	hyper *session.Tensor
}

// work is the memory of one part of a batch, used again at every step: a step
// makes some 140 MB, which would take longer to make anew than to fill.
type work struct {
	maps     []*session.Tensor   // that the trunk gave
	photos   [][]*session.Tensor // the same memory, photo by photo
	forward  []*session.Tensor   // forward's outputs
	output   *session.Tensor     // the gradient by the network's output
	backward []*session.Tensor   // backward's outputs: the gradient by the parameters
}

func (w *work) release() {
	for _, ts := range append(w.photos, w.maps, w.forward, []*session.Tensor{w.output}, w.backward) {
		session.Release(ts)
	}
}

// Where the engine's state lies.
const (
	stateParams = iota
	stateMoment1
	stateMoment2
	stateAverage
)

func newEngine(d design, r Recipe) (_ *engine, err error) {
	e := &engine{still: d.still(), imageSize: r.ImageSize}
	defer func() {
		if err != nil {
			err = errors.Join(err, e.close())
		}
	}()
	photos, threads := r.BatchSize/r.Parts, max(r.threads()/r.Parts, 1)
	builder, pair, err := d.trainable(photos)
	if err != nil {
		return nil, err
	}
	e.params, e.kept = builder.Params(), pair.Kept
	if e.forward, err = session.Open(pair.Forward, pair.ForwardInputs, pair.ForwardOutputs, threads); err != nil {
		return nil, err
	}
	if e.backward, err = session.Open(pair.Backward, pair.BackwardInputs, pair.BackwardOutputs, threads); err != nil {
		return nil, err
	}
	model, inputs, results := graph.Optimizer(e.params, r.Parts)
	if e.optimizer, err = session.Open(model, inputs, results, r.threads()); err != nil {
		return nil, err
	}
	e.work = make([]work, r.Parts)
	if err := e.openTrunk(photos, threads); err != nil {
		return nil, err
	}
	grid := d.grid(r.ImageSize, r.ImageSize)
	outputs := 4 + len(d.classes())
	e.loss = loss.New(grid, len(d.classes()), loss.Weights{Box: r.BoxWeight, Class: r.ClassWeight})
	for i := range e.work {
		if e.work[i].output, err = session.NewTensor(make([]float32, photos*outputs*grid.Len()), photos, outputs, grid.Len()); err != nil {
			return nil, err
		}
	}
	n := len(graph.Hyper(1, 0, 0, 0))
	if e.hyper, err = session.NewTensor(make([]float32, n), n); err != nil {
		return nil, err
	}
	weights := builder.Initial(r.Seed)
	return e, e.set(&checkpoint{Params: weights, Average: weights})
}

// set replaces the state; missing moments are zero.
func (e *engine) set(c *checkpoint) error {
	for i, v := range [][]float32{c.Params, c.Moment1, c.Moment2, c.Average} {
		if v == nil {
			v = make([]float32, len(c.Params))
		}
		// The runtime's own copy: params and average may be one slice.
		t, err := session.NewTensor(slices.Clone(v), len(v))
		if err != nil {
			return err
		}
		e.state[i].Release()
		e.state[i] = t
	}
	return nil
}

// step trains on one batch. hyper is for this step; floor as in loss.Assign.
func (e *engine) step(b *batch, hyper []float32, floor float64) (loss.Value, float64, error) {
	raw, inputs := make([][]float32, len(b.parts)), make([][]*session.Tensor, len(b.parts))
	assigned := make([]loss.Assigned, len(b.parts))
	err := each(b.parts, func(i int, p part) (err error) {
		if inputs[i], err = e.inputs(i, p); err != nil {
			return err
		}
		w := &e.work[i]
		if w.forward, err = e.forward.Again(w.forward, append([]*session.Tensor{e.state[stateParams]}, inputs[i]...)...); err != nil {
			return err
		}
		raw[i] = w.forward[0].Data
		assigned[i] = e.loss.Assign(raw[i], p.targets, floor)
		return nil
	})
	if err != nil {
		return loss.Value{}, 0, err
	}
	score := 0.0
	for _, a := range assigned {
		score += a.Score
	}

	values, gradients := make([]loss.Value, len(b.parts)), make([]*session.Tensor, len(b.parts))
	err = each(b.parts, func(i int, p part) (err error) {
		w := &e.work[i]
		values[i] = e.loss.Gradient(raw[i], p.targets, assigned[i], score, w.output.Data)
		all := append([]*session.Tensor{w.output, e.state[stateParams]}, inputs[i]...)
		if w.backward, err = e.backward.Again(w.backward, append(all, w.forward[e.kept:]...)...); err != nil {
			return err
		}
		gradients[i] = w.backward[0]
		return nil
	})
	if err != nil {
		return loss.Value{}, 0, err
	}
	norm, err := e.optimize(gradients, hyper)
	var sum loss.Value
	for _, v := range values {
		sum.Box, sum.Class, sum.Positives = sum.Box+v.Box, sum.Class+v.Class, sum.Positives+v.Positives
	}
	return sum, norm, err
}

// optimize replaces the state by the next, and returns the gradient's norm.
func (e *engine) optimize(gradients []*session.Tensor, hyper []float32) (float64, error) {
	copy(e.hyper.Data, hyper)
	inputs := append(append(e.state[:len(e.state):len(e.state)], e.hyper), gradients...)
	next, err := e.optimizer.Again(e.next, inputs...)
	if err != nil {
		return 0, err
	}
	norm := next[len(e.state)]
	e.next = append(e.state[:len(e.state):len(e.state)], norm)
	copy(e.state[:], next)
	return float64(norm.Data[0]), nil
}

// statistics are the batch means and variances of the averaged parameters, of
// each part of a batch.
func (e *engine) statistics(b *batch) ([][]float32, error) {
	stats := make([][]float32, len(b.parts))
	err := each(b.parts, func(i int, p part) (err error) {
		w := &e.work[i]
		if w.forward, err = e.forward.Again(w.forward, e.state[stateAverage], p.images); err != nil {
			return err
		}
		stats[i] = slices.Clone(w.forward[1].Data)
		return nil
	})
	return stats, err
}

// each works on every part at the same time.
func each(parts []part, work func(i int, p part) error) error {
	var g errgroup.Group
	for i, p := range parts {
		g.Go(func() error { return work(i, p) })
	}
	return g.Wait()
}

// vector copies a part of the state.
func (e *engine) vector(i int) []float32 { return slices.Clone(e.state[i].Data) }

func (e *engine) close() error {
	session.Release(e.state[:])
	session.Release(e.next)
	e.hyper.Release()
	for i := range e.work {
		e.work[i].release()
	}
	var err error
	for _, s := range []*session.Session{e.forward, e.backward, e.optimizer, e.trunk} {
		if s != nil {
			err = errors.Join(err, s.Close())
		}
	}
	return err
}
