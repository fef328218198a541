package embedded

import (
	"errors"
	"slices"

	"github.com/litterloop/litterloop/shared/training/embedded/graph"
	"github.com/litterloop/litterloop/shared/training/embedded/loss"
	"github.com/litterloop/litterloop/shared/training/embedded/network"
	"github.com/litterloop/litterloop/shared/training/embedded/session"
)

// engine holds the network and the optimiser's state inside the runtime.
type engine struct {
	params            []*graph.Param
	forward, backward *session.Session
	loss              *loss.Loss
	// state is parameters, first moments, second moments and averaged
	// parameters: what the backward graph reads and puts out anew.
	state    [4]*session.Tensor
	gradient *session.Tensor // by the network's output
	hyper    *session.Tensor
}

// Where the engine's state lies.
const (
	stateParams = iota
	stateMoment1
	stateMoment2
	stateAverage
)

func newEngine(c network.Config, r Recipe) (_ *engine, err error) {
	e := &engine{}
	defer func() {
		if err != nil {
			err = errors.Join(err, e.close())
		}
	}()
	builder, pair := network.Trainable(c, r.BatchSize, r.ImageSize)
	e.params = builder.Params()
	if e.forward, err = session.Open(pair.Forward, pair.ForwardInputs, pair.ForwardOutputs, r.threads()); err != nil {
		return nil, err
	}
	if e.backward, err = session.Open(pair.Backward, pair.BackwardInputs, pair.BackwardOutputs, r.threads()); err != nil {
		return nil, err
	}
	grid := network.NewGrid(r.ImageSize, r.ImageSize)
	outputs := 4 + len(c.Classes)
	e.loss = loss.New(grid, len(c.Classes), loss.Weights{Box: r.BoxWeight, Class: r.ClassWeight})
	if e.gradient, err = session.NewTensor(make([]float32, r.BatchSize*outputs*grid.Len()), r.BatchSize, outputs, grid.Len()); err != nil {
		return nil, err
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

// step trains on one batch. hyper is for this step; floor as in loss.Gradient.
func (e *engine) step(b *batch, hyper []float32, floor float64) (loss.Value, float64, error) {
	out, err := e.forward.Run(e.state[stateParams], b.images)
	if err != nil {
		return loss.Value{}, 0, err
	}
	defer session.Release(out)
	raw, kept := out[0], out[2:]
	value := e.loss.Gradient(raw.Data, b.targets, floor, e.gradient.Data)
	copy(e.hyper.Data, hyper)
	inputs := append([]*session.Tensor{e.gradient}, e.state[:]...)
	// The graph's order: gradient, parameters, moments, average, hyper, images, kept.
	inputs = append(append(inputs, e.hyper, b.images), kept...)
	next, err := e.backward.Run(inputs...)
	if err != nil {
		return loss.Value{}, 0, err
	}
	session.Release(e.state[:])
	copy(e.state[:], next)
	norm := next[len(e.state)]
	defer norm.Release()
	return value, float64(norm.Data[0]), nil
}

// statistics are the batch means and variances of the averaged parameters.
func (e *engine) statistics(b *batch) ([]float32, error) {
	out, err := e.forward.Run(e.state[stateAverage], b.images)
	if err != nil {
		return nil, err
	}
	defer session.Release(out)
	return slices.Clone(out[1].Data), nil
}

// vector copies a part of the state.
func (e *engine) vector(i int) []float32 { return slices.Clone(e.state[i].Data) }

func (e *engine) close() error {
	session.Release(append(e.state[:], e.gradient, e.hyper))
	var err error
	for _, s := range []*session.Session{e.forward, e.backward} {
		if s != nil {
			err = errors.Join(err, s.Close())
		}
	}
	return err
}
