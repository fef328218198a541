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
	trunk                        *session.Session    // of still; nil where everything learns
	maps                         [][]*session.Tensor // what the trunk gave, of each part
	imageSize                    int
	// state is parameters, first moments, second moments and averaged
	// parameters: what the optimiser reads and puts out anew.
	state     [4]*session.Tensor
	gradients []*session.Tensor // by the network's output, of each part
	hyper     *session.Tensor
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
	if err := e.openTrunk(r.Parts, photos, threads); err != nil {
		return nil, err
	}
	grid := d.grid(r.ImageSize, r.ImageSize)
	outputs := 4 + len(d.classes())
	e.loss = loss.New(grid, len(d.classes()), loss.Weights{Box: r.BoxWeight, Class: r.ClassWeight})
	for range r.Parts {
		g, err := session.NewTensor(make([]float32, photos*outputs*grid.Len()), photos, outputs, grid.Len())
		if err != nil {
			return nil, err
		}
		e.gradients = append(e.gradients, g)
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
	raw, kept := make([][]float32, len(b.parts)), make([][]*session.Tensor, len(b.parts))
	assigned := make([]loss.Assigned, len(b.parts))
	inputs := make([][]*session.Tensor, len(b.parts))
	defer func() {
		for _, k := range kept {
			session.Release(k)
		}
	}()
	err := each(b.parts, func(i int, p part) (err error) {
		if inputs[i], err = e.inputs(i, p); err != nil {
			return err
		}
		if kept[i], err = e.forward.Run(append([]*session.Tensor{e.state[stateParams]}, inputs[i]...)...); err != nil {
			return err
		}
		raw[i] = kept[i][0].Data
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
	defer func() { session.Release(gradients) }()
	err = each(b.parts, func(i int, p part) error {
		values[i] = e.loss.Gradient(raw[i], p.targets, assigned[i], score, e.gradients[i].Data)
		all := append([]*session.Tensor{e.gradients[i], e.state[stateParams]}, inputs[i]...)
		out, err := e.backward.Run(append(all, kept[i][e.kept:]...)...)
		if err != nil {
			return err
		}
		gradients[i] = out[0]
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
	next, err := e.optimizer.Run(inputs...)
	if err != nil {
		return 0, err
	}
	session.Release(e.state[:])
	copy(e.state[:], next)
	norm := next[len(e.state)]
	defer norm.Release()
	return float64(norm.Data[0]), nil
}

// statistics are the batch means and variances of the averaged parameters, of
// each part of a batch.
func (e *engine) statistics(b *batch) ([][]float32, error) {
	stats := make([][]float32, len(b.parts))
	err := each(b.parts, func(i int, p part) error {
		out, err := e.forward.Run(e.state[stateAverage], p.images)
		if err != nil {
			return err
		}
		defer session.Release(out)
		stats[i] = slices.Clone(out[1].Data)
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
	session.Release(e.gradients)
	e.hyper.Release()
	var err error
	for _, m := range e.maps {
		session.Release(m)
	}
	for _, s := range []*session.Session{e.forward, e.backward, e.optimizer, e.trunk} {
		if s != nil {
			err = errors.Join(err, s.Close())
		}
	}
	return err
}
