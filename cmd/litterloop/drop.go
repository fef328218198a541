package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"slices"

	"github.com/litterloop/litterloop/cmd/litterloop/client"
	"github.com/litterloop/litterloop/cmd/litterloop/progress"
	"github.com/litterloop/litterloop/shared/dataset"
)

type dropCmd struct {
	Dir   string `arg:"" help:"Directory with photos and their annotations.json (COCO)." type:"existingdir"`
	Batch string `help:"Name of the batch (default: the directory's)."`
}

// Run uploads a batch; the loop takes it up by itself.
func (c *dropCmd) Run(ctx context.Context, g *globals) error {
	files, err := client.Directory(c.Dir)
	if err != nil {
		return err
	}
	if c.Batch == "" {
		dir, err := filepath.Abs(c.Dir)
		if err != nil {
			return err
		}
		c.Batch = filepath.Base(dir)
	}
	cl, err := g.connect(ctx)
	if err != nil {
		return err
	}
	defer cl.Close()
	board := progress.New(g.stderr)
	stage := board.Stage("drop " + c.Batch)
	d, err := client.Drop(ctx, cl.Bucket(cl.Incoming), c.Batch, files, func(done, total int) { stage.Set(done, total, "%d of %d files", done, total) })
	if err != nil {
		stage.Fail(err)
		board.Close()
		return err
	}
	stage.Done("%d files sent, %d were there", d.Sent, d.Already)
	board.Close()
	return g.answer(d, func(w io.Writer) {
		fmt.Fprintf(w, "Batch %q is in gs://%s/%s/. `litterloop status` shows what becomes of it.\n", d.Batch, cl.Incoming, d.Batch)
		if !slices.ContainsFunc(files, func(f client.File) bool { return f.Name == dataset.LabelsFile }) {
			fmt.Fprintf(w, "%s holds no %s: the batch waits until that is dropped too.\n", c.Dir, dataset.LabelsFile)
		}
	})
}
