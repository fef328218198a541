package main

import (
	"context"
	"fmt"
	"io"

	"github.com/litterloop/litterloop/shared/dataset"
	"github.com/litterloop/litterloop/shared/dataset/dvcrepo"
)

type dataExportDVCCmd struct {
	ID  string `arg:"" help:"Which version. ${versionHelp}"`
	Dir string `arg:"" help:"Directory of the repository; made when missing." type:"path"`
}

// Run writes a DVC repository.
func (c *dataExportDVCCmd) Run(ctx context.Context, g *globals) error {
	b, done, err := g.datasets(ctx)
	if err != nil {
		return err
	}
	defer done()
	v, err := dataset.Find(ctx, b, c.ID)
	if err != nil {
		return err
	}
	remote := dvcrepo.Remote{Bucket: b.Name(), Endpoint: storageEndpoint()}
	if err := dvcrepo.Write(c.Dir, v, remote); err != nil {
		return err
	}
	// gcsfs asks Google's own service for the bucket's layout, whatever endpoint
	// it was given, and waits long for an answer that never comes.
	command := "dvc pull"
	if remote.Endpoint != "" {
		command = "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT=false dvc pull"
	}
	return g.answer(map[string]any{"dataset": v.ID, "dir": c.Dir, "url": "gs://" + remote.Bucket, "endpoint": remote.Endpoint, "pull": command}, func(w io.Writer) {
		fmt.Fprintf(w, "%s can be pulled in %s:\n\n  pip install dvc dvc-gs\n  cd %s && %s\n", v.ID, c.Dir, c.Dir, command)
	})
}
