package main

import (
	"cmp"
	"context"
	"fmt"
	"io"

	"github.com/litterloop/litterloop/cmd/litterloop/client"
	"github.com/litterloop/litterloop/cmd/litterloop/progress"
	"github.com/litterloop/litterloop/shared/dataset"
)

type dropCmd struct {
	Path  string `arg:"" help:"Directory with photos and their labels (COCO or YOLO), or a zip or tar archive of one." type:"path"`
	Batch string `help:"Name of the batch (default: the directory's or archive's)."`
}

// Run uploads a batch; the loop takes it up by itself.
func (c *dropCmd) Run(ctx context.Context, g *globals) error {
	name, files, err := client.Batch(c.Path)
	if err != nil {
		return err
	}
	c.Batch = cmp.Or(c.Batch, name)
	cl, err := g.connect(ctx)
	if err != nil {
		return err
	}
	defer cl.Close()
	traces, err := g.telemetry(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = traces.Shutdown(ctx) }() // a drop that is not traced is a drop all the same
	board := progress.New(g.stderr)
	stage := board.Stage("drop " + c.Batch)
	d, err := client.DropBatch(ctx, cl.Bucket(cl.Incoming), c.Batch, files, func(done, total int) { stage.Set(done, total, "%d of %d files", done, total) })
	if err != nil {
		stage.Fail(err)
		board.Close()
		return err
	}
	stage.Done("%d files sent, %d were there", d.Sent, d.Already)
	board.Close()
	return g.answer(d, func(w io.Writer) {
		fmt.Fprintf(w, "Batch %q is in gs://%s/%s/. `litterloop status` shows what becomes of it.\n", d.Batch, cl.Incoming, d.Batch)
		if client.Kind(files) == "" && !client.Packed(files) {
			fmt.Fprintf(w, "%s holds no labels: the batch waits until they are dropped too, as %s (COCO), or a data.yaml and then %s (YOLO).\n", c.Path, dataset.LabelsFile, dataset.MarkerFile)
		}
	})
}
