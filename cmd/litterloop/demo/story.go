// Package demo tells the story of the loop closing, on a local cloud: data in, a
// model trained and deployed, the world changed, drift found, a better model in
// its place. It only drops files, sends photos and watches; events do the rest.
package demo

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/litterloop/litterloop/cmd/litterloop/client"
	"github.com/litterloop/litterloop/cmd/litterloop/local"
	"github.com/litterloop/litterloop/cmd/litterloop/progress"
	"github.com/litterloop/litterloop/localcloud"
)

// Policy is the demo's own policy file.
//
//go:embed policy.yaml
var Policy []byte

// Options of a demo.
type Options struct {
	State  string
	Data   string // directory with photos and annotations.json; empty: drawn
	Seed   uint64
	Sizes  Sizes  // of the drawn story
	Policy []byte // policy file of a new state; nil: the demo's own
	Faults localcloud.Faults
	Log    *slog.Logger
	Out    *os.File // where progress is shown
}

// schedule of the drift check: a day is a few seconds here.
const schedule = "@every 3s"

// Names of the two batches that are dropped.
const (
	firstBatch  = "first"
	secondBatch = "new-kind"
)

type story struct {
	o        Options
	board    *progress.Board
	loop     *local.Loop
	journal  *journal
	material Material
}

// Run tells the story from wherever the state is in it. Its error says where
// the loop did not close.
func Run(ctx context.Context, o Options) (sum Summary, err error) {
	if o.Policy == nil {
		o.Policy = Policy
	}
	s := &story{o: o, board: progress.New(o.Out)}
	defer s.board.Close()
	if err := s.open(ctx); err != nil {
		return sum, err
	}
	defer func() {
		if closing := s.loop.Close(ctx); err == nil {
			err = closing
		}
	}()
	acts := []func(context.Context) error{
		func(ctx context.Context) error {
			return s.drop(ctx, firstBatch, "drop labelled photos", s.material.First)
		},
		s.follow(firstBatch, 1),
		func(ctx context.Context) error { return s.send(ctx, "usual", "photos arrive", s.material.Usual) },
		s.noDrift,
		func(ctx context.Context) error {
			return s.drop(ctx, secondBatch, "drop a few of a new kind", s.material.Second)
		},
		s.held,
		func(ctx context.Context) error { return s.send(ctx, "new", "photos of the new kind", s.material.New) },
		s.drifted,
		s.follow(secondBatch, 2),
	}
	for _, act := range acts {
		if err := s.act(ctx, act); err != nil {
			return sum, err
		}
	}
	return s.summary(ctx)
}

// act runs one act, unless the local cloud fails meanwhile.
func (s *story) act(ctx context.Context, act func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case err := <-s.loop.Cloud.Failed():
			cancel(err)
		case <-ctx.Done():
		}
	}()
	err := act(ctx)
	if cause := context.Cause(ctx); err != nil && cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	return err
}

func (s *story) open(ctx context.Context) (err error) {
	// Photos first: a directory that will not do must not leave its mark on a state.
	stage := s.board.Stage("prepare photos")
	if s.material, err = material(s.o); err != nil {
		stage.Fail(err)
		return err
	}
	stage.Done("%d to train and test on, %d of a new kind, %d to be asked about", len(s.material.First), len(s.material.Second), len(s.material.Usual)+len(s.material.New))
	if s.journal, err = openState(s.o); err != nil {
		return err
	}
	stage = s.board.Stage("start the local cloud")
	s.loop, err = local.Start(ctx, local.Options{State: s.o.State, Schedule: schedule, Policy: s.o.Policy, Faults: s.o.Faults, Log: s.o.Log})
	if err != nil {
		stage.Fail(err)
		return err
	}
	stage.Done("storage, Pub/Sub, scheduler, Cloud Run, six functions")
	return nil
}

func openState(o Options) (*journal, error) {
	if err := os.MkdirAll(o.State, 0o755); err != nil {
		return nil, fmt.Errorf("state directory: %w", err)
	}
	return openJournal(o.State, o.Data, o.Seed)
}

// drop uploads a batch, photos and labels in mixed order.
func (s *story) drop(ctx context.Context, name, title string, photos []Photo) error {
	stage := s.board.Stage(title)
	files, err := batch(photos, s.material.Classes, s.o.Seed)
	if err == nil {
		var d client.Dropped
		d, err = client.Drop(ctx, s.loop.Bucket(s.loop.Incoming), name, files, func(done, total int) { stage.Set(done, total, "%d of %d files", done, total) })
		if err == nil {
			stage.Done("%d files to gs://%s/%s/", d.Files, s.loop.Incoming, name)
			return nil
		}
	}
	stage.Fail(err)
	return err
}
