package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/litterloop/litterloop/shared/registry"
)

type modelsCmd struct {
	List    modelsListCmd    `cmd:"" default:"1" help:"List model versions, aliases and gates."`
	Show    modelsShowCmd    `cmd:"" help:"Show a model: versions, aliases, and who moved them when and why."`
	Alias   modelsAliasCmd   `cmd:"" help:"Make an alias name a version, or remove it; who and why are kept."`
	Delete  modelsDeleteCmd  `cmd:"" help:"Delete a version, or a model; numbers are never given again."`
	Restore modelsRestoreCmd `cmd:"" help:"Restore a model or a version that was deleted; without a name, list what can be."`
	Export  modelsExportCmd  `cmd:"" help:"Copy models, versions, aliases and their runs to a directory or a tracking server."`
	Import  modelsImportCmd  `cmd:"" help:"Copy models, versions, aliases and their runs from a directory or a tracking server."`
	Fetch   modelsFetchCmd   `cmd:"" help:"Fetch a published detector to start trainings from."`
}

type modelsListCmd struct{}

// Run lists the registered versions of the deployment's model.
func (*modelsListCmd) Run(ctx context.Context, g *globals) error {
	cl, err := g.connect(ctx)
	if err != nil {
		return err
	}
	defer cl.Close()
	r := registry.New(cl.Bucket(cl.Models), time.Now)
	versions, err := r.List(ctx, cl.Model)
	if err != nil {
		return err
	}
	aliases, err := r.Aliases(ctx, cl.Model)
	if err != nil {
		return err
	}
	return g.answer(map[string]any{"model": cl.Model, "versions": versions, "aliases": aliases}, func(w io.Writer) {
		if len(versions) == 0 {
			fmt.Fprintf(w, "No version of %s is registered yet: drop labelled photos, and the first training registers one.\n", cl.Model)
			return
		}
		t := tabwriter.NewWriter(w, 2, 4, 2, ' ', 0)
		defer t.Flush()
		printModels(t, versions, aliases)
	})
}
