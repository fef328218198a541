package main

import (
	"context"
	"fmt"
	"io"

	"github.com/litterloop/litterloop/cmd/litterloop/cloud"
)

type sourceCmd struct {
	Out    string `help:"File to write." default:"build/functions.zip" type:"path"`
	Source string `help:"Root of the repository." default:"." type:"existingdir"`
}

// Run packs the functions' source; the same source is the same file.
func (c *sourceCmd) Run(ctx context.Context, g *globals) error {
	n, err := cloud.SourceIn(ctx, c.Out, c.Source)
	if err != nil {
		return err
	}
	return g.answer(map[string]any{"file": c.Out, "files": n}, func(w io.Writer) { fmt.Fprintf(w, "%s: %d files\n", c.Out, n) })
}
