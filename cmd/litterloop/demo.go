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
}

// Run tells the story of the loop closing; it fails when the loop did not close.
func (c *demoCmd) Run(ctx context.Context, g *globals) error {
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
	sum, err := demo.Run(ctx, demo.Options{State: g.State, Data: data, Seed: c.Seed, Log: log, Out: g.stderr})
	if len(sum.Models) == 0 {
		return err
	}
	if printed := g.answer(sum, func(w io.Writer) { sum.Print(w, g.State) }); err == nil {
		err = printed
	}
	return err
}
