package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/litterloop/litterloop/cmd/litterloop/demo"
	"github.com/litterloop/litterloop/cmd/litterloop/local"
	"github.com/litterloop/litterloop/cmd/litterloop/progress"
)

type demoCmd struct {
	Data string `help:"Directory of your own: photos and their annotations.json (COCO). Default: drawn photos." type:"existingdir"`
	From string `help:"Fine-tune this detector (yolox-nano, a path, gs://BUCKET/OBJECT) in place of training from nothing." placeholder:"MODEL"`
	Seed uint64 `help:"Seed of the drawn photos and of every choice." default:"1"`

	Faults uint64 `help:"Inject every fault that the cloud permits itself, by this seed: repeats, disorder, delays, refusals, lost answers, and crashes that kill this process." placeholder:"SEED"`
	Crash  int    `hidden:"" help:"Die at the storage commit or publish with this number."`
}

// policy is the demo's own with the recipe that --from asks for; nil without.
func (c *demoCmd) policy() []byte {
	if c.From == "" {
		return nil
	}
	from := c.From
	if abs, err := filepath.Abs(from); err == nil {
		if _, err := os.Stat(abs); err == nil { // else a name or a URI
			from = abs
		}
	}
	return fmt.Appendf(bytes.Clone(demo.Policy), "train:\n  recipe: {name: finetune, from: %q}\n", from)
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
	sum, err := demo.Run(ctx, demo.Options{State: g.State, Data: data, Seed: c.Seed, Sizes: demo.DefaultSizes, Policy: c.policy(), Faults: c.faults(), Log: log, Out: g.stderr})
	if len(sum.Models) == 0 {
		return err
	}
	if printed := g.answer(sum, func(w io.Writer) { sum.Print(w, g.State) }); err == nil {
		err = printed
	}
	return err
}
