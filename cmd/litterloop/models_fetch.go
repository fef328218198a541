package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/litterloop/litterloop/cmd/internal/worker"
	"github.com/litterloop/litterloop/cmd/litterloop/progress"
	"github.com/litterloop/litterloop/shared/training/embedded/pretrained"
)

type modelsFetchCmd struct {
	Name string `arg:"" help:"A published detector: yolox-nano."`
	From string `help:"Take the file from a path or gs://BUCKET/OBJECT; it is checked all the same." placeholder:"PATH"`
}

// releases are the names of the published detectors.
func releases() string {
	var names []string
	for _, r := range pretrained.Releases {
		names = append(names, r.Name)
	}
	return strings.Join(names, ", ")
}

// Run fetches a detector to start trainings from, and tells where it is kept.
func (c *modelsFetchCmd) Run(ctx context.Context, g *globals) error {
	r, ok := pretrained.Find(c.Name)
	if !ok {
		return fmt.Errorf("no published detector is called %q; there is %s. Any other is named by its path: litterloop train --from PATH", c.Name, releases())
	}
	f, err := worker.StartingModels(worker.Storage)
	if err != nil {
		return err
	}
	f.Client = http.DefaultClient
	var path string
	if c.From != "" {
		data, err := f.Open(ctx, c.From)
		if err != nil {
			return err
		}
		if path, err = f.Put(ctx, r, data); err != nil {
			return err
		}
	} else {
		stage := progress.New(g.stderr).Stage("fetch " + r.Name)
		f.Progress = func(done, total int64) {
			stage.Set(int(done), int(total), "%.1f of %.1f MB", float64(done)/1e6, float64(total)/1e6)
		}
		if path, err = f.Release(ctx, r); err != nil {
			stage.Fail(err)
			return err
		}
		stage.Done("%s", path)
	}
	return g.answer(map[string]any{"name": r.Name, "path": path, "licence": r.Licence}, func(w io.Writer) {
		fmt.Fprintf(w, "%s (%s; %s)\n%s\n", r.Name, r.Says, r.Licence, path)
	})
}
