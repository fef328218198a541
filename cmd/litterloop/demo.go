package main

import (
	"context"
	"io"
	"log/slog"
	"path/filepath"

	"github.com/litterloop/litterloop/cmd/litterloop/demo"
	"github.com/litterloop/litterloop/cmd/litterloop/local"
	"github.com/litterloop/litterloop/cmd/litterloop/progress"
)

type demoCmd struct {
	Data string `help:"Directory of your own: photos and their annotations.json (COCO). Default: drawn photos." type:"existingdir"`
	Seed uint64 `help:"Seed of the drawn photos and of every choice." default:"1"`

	Faults uint64 `help:"Inject every fault that the cloud permits itself, by this seed: repeats, disorder, delays, refusals, lost answers, and crashes that kill this process." placeholder:"SEED"`
	Crash  int    `hidden:"" help:"Die at the storage commit or publish with this number."`
}

// Run tells the story of the loop closing; it fails when the loop did not close.
func (c *demoCmd) Run(ctx context.Context, g *globals) error {
	if c.Faults != 0 && c.Crash == 0 {
		return c.survive(ctx, g)
	}
	data := c.Data
	if data != "" {
		abs, err := filepath.Abs(data)
		if err != nil {
			return err
		}
		data = abs
	}
	if err := ensureRuntime(ctx, progress.New(g.stderr)); err != nil {
		return err
	}
	log, closeLog, err := local.OpenLog(g.State)
	if err != nil {
		return err
	}
	defer closeLog()
	slog.SetDefault(log)
	sum, err := demo.Run(ctx, demo.Options{State: g.State, Data: data, Seed: c.Seed, Sizes: demo.DefaultSizes, Faults: c.faults(), Log: log, Out: g.stderr})
	if len(sum.Models) == 0 {
		return err
	}
	if printed := g.answer(sum, func(w io.Writer) { sum.Print(w, g.State) }); err == nil {
		err = printed
	}
	return err
}
