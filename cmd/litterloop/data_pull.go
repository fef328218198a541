package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/litterloop/litterloop/cmd/litterloop/progress"
	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/dataset"
	"github.com/litterloop/litterloop/shared/dataset/pull"
	"github.com/litterloop/litterloop/shared/dataset/verify"
	"github.com/litterloop/litterloop/shared/errs"
)

type dataPullCmd struct {
	ID    string `arg:"" help:"Which version. ${versionHelp}"`
	Dir   string `arg:"" help:"Directory to fetch into; made when missing." type:"path"`
	Prune bool   `help:"Remove files in images/ and labels/ that the version does not have."`
}

// Run fetches a version.
func (c *dataPullCmd) Run(ctx context.Context, g *globals) error {
	b, done, err := g.datasets(ctx)
	if err != nil {
		return err
	}
	defer done()
	v, err := dataset.Find(ctx, b, c.ID)
	if err != nil {
		return err
	}
	board := progress.New(g.stderr)
	stage := board.Stage(fmt.Sprintf("pull %.12s", v.ID))
	r, err := pull.Pull(ctx, b, v, c.Dir, pull.Options{Prune: c.Prune, Progress: func(done, total int) { stage.Set(done, total, "%d of %d files", done, total) }})
	if err != nil {
		stage.Fail(err)
	} else {
		stage.Done("%d files, %.1f MB fetched", r.Files, float64(r.Bytes)/1e6)
	}
	board.Close()
	if code, _ := errs.Reason(err); err != nil && code != pull.Incomplete {
		return err
	}
	return errors.Join(g.answer(r, func(w io.Writer) {
		fmt.Fprintf(w, "%s: %d files fetched, %d mended, %d were right, %d are not to be had.\n", c.Dir, r.Fetched, r.Repaired, r.Kept, len(r.Failed))
		if n := len(r.Extra); n > 0 && !c.Prune {
			fmt.Fprintf(w, "%d other files are in its images/ and labels/ (%s, …): a trainer reads them too. `--prune` removes them.\n", n, r.Extra[0])
		} else if n > 0 {
			fmt.Fprintf(w, "%d files that it does not have were removed.\n", n)
		}
		printDamage(w, r.Failed)
	}), err)
}

type dataVerifyCmd struct {
	ID    string `arg:"" optional:"" help:"Which version (default: the current one). ${versionHelp}"`
	Dir   string `help:"Check this directory, into which the version was pulled, instead of the bucket." type:"existingdir"`
	Quick bool   `help:"Believe the checksums that the bucket keeps instead of reading every byte."`
}

// Run verifies a version; it fails when anything differs.
func (c *dataVerifyCmd) Run(ctx context.Context, g *globals) error {
	b, done, err := g.datasets(ctx)
	if err != nil {
		return err
	}
	defer done()
	v, err := dataset.Find(ctx, b, c.ID)
	if err != nil {
		return err
	}
	board := progress.New(g.stderr)
	stage := board.Stage(fmt.Sprintf("verify %.12s", v.ID))
	r, err := c.check(ctx, b, v, func(done, total int) { stage.Set(done, total, "%d of %d files", done, total) })
	if err != nil {
		stage.Fail(err)
		board.Close()
		return err
	}
	stage.Done("%d files, %.1f MB", r.Files, float64(r.Bytes)/1e6)
	board.Close()
	err = g.answer(r, func(w io.Writer) {
		if r.Sound() {
			fmt.Fprintf(w, "%s is sound: %d files, %.1f MB.\n", v.ID, r.Files, float64(r.Bytes)/1e6)
		}
		printDamage(w, r.Damage)
	})
	if err == nil && !r.Sound() {
		err = fmt.Errorf("%s: %d faults in %d files", v.ID, len(r.Damage), r.Files)
	}
	return err
}

func (c *dataVerifyCmd) check(ctx context.Context, b blob.Bucket, v dataset.Version, progress func(done, total int)) (verify.Report, error) {
	if c.Dir == "" {
		return verify.Bucket(ctx, b, v, verify.Options{Quick: c.Quick, Progress: progress})
	}
	files, err := dataset.Files(ctx, b, v)
	if err != nil {
		return verify.Report{}, err
	}
	r, err := verify.Directory(ctx, files, c.Dir, progress)
	r.Dataset = v.ID
	return r, err
}

// maxShown of a long list are printed; --json has all.
const maxShown = 20

func printDamage(w io.Writer, all []verify.Damage) {
	t := tabwriter.NewWriter(w, 2, 4, 2, ' ', 0)
	for i, d := range all {
		if i == maxShown {
			fmt.Fprintf(t, "  and %d more; --json tells all\n", len(all)-i)
			break
		}
		fmt.Fprintf(t, "  %s\t%s\t%s\n", d.Code, d.Path, d.Note)
	}
	t.Flush()
}
