package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/litterloop/litterloop/cmd/litterloop/databench"
)

type benchDataCmd struct {
	Only    []string `help:"Rows of the table: convert, million, validate, version." enum:"convert,million,validate,version" default:"convert,million,validate,version"`
	Rounds  int      `help:"How often ours and theirs take turns." default:"3"`
	Scale   float64  `help:"Of the full size: 1 is 100,000 images." default:"1"`
	NoPeers bool     `help:"Leave out Ultralytics and DVC, and their installation."`
	Photos  string   `help:"Directory of JPEG photos of 2 to 8 MB to validate; without it, drawn ones of 12 megapixels." type:"existingdir"`
	Work    string   `help:"Directory for input and output (default: a temporary one)." type:"existingdir"`
}

// Run measures conversion, validation and versions.
func (c *benchDataCmd) Run(ctx context.Context, g *globals) (err error) {
	if c.Rounds < 1 || c.Scale <= 0 {
		return errors.New("--rounds must be at least 1 and --scale above 0")
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return fmt.Errorf("the directory of caches: %w", err)
	}
	work, err := os.MkdirTemp(c.Work, "litterloop-bench-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	report, err := databench.Run(ctx, databench.Options{
		Self: self, Cache: filepath.Join(cache, "litterloop"), Work: work, Rows: c.Only, Rounds: c.Rounds, Scale: c.Scale, NoPeers: c.NoPeers, Photos: c.Photos,
		Say: func(s string) { fmt.Fprintln(g.stderr, s) }, Log: g.stderr,
	})
	if err != nil {
		return err
	}
	return g.answer(report, report.Print)
}
