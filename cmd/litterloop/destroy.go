package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/litterloop/litterloop/cmd/litterloop/cloud"
	"github.com/litterloop/litterloop/cmd/litterloop/progress"
)

type destroyCmd struct {
	Data      bool   `help:"Delete photos, data sets, models and logs too; without it buckets that hold something stay."`
	Terraform string `help:"Directory of the Terraform." default:"terraform" type:"existingdir"`
	Yes       bool   `help:"Do not ask."`
}

// Run unmakes what Terraform made in a project. The bucket of its state stays.
func (c *destroyCmd) Run(ctx context.Context, g *globals) error {
	if g.Project == "" {
		return errors.New("name the project with --project; a local cloud is a directory: delete it")
	}
	what := "everything but buckets that hold something"
	if c.Data {
		what = "EVERYTHING, photos, models and logs included,"
	}
	if err := g.confirm(c.Yes, fmt.Sprintf("Delete %s in %s? Type the project's id to go on: ", what, g.Project), g.Project); err != nil {
		return err
	}
	// Which functions' source is declared does not matter any more.
	zip, err := os.CreateTemp("", "litterloop-*.zip")
	if err != nil {
		return err
	}
	defer os.Remove(zip.Name())
	if err := zip.Close(); err != nil {
		return err
	}
	path, err := filepath.Abs(zip.Name())
	if err != nil {
		return err
	}
	tf := cloud.Terraform{Dir: c.Terraform, Project: g.Project, Stderr: g.stderr, Vars: []string{"function_source=" + path, "delivery_account=true"}}
	board := progress.New(g.stderr)
	defer board.Close()
	if err := step(board, "prepare Terraform", func(*progress.Stage) (string, error) {
		return "state in gs://" + cloud.StateBucket(g.Project), tf.Init(ctx)
	}); err != nil {
		return err
	}
	if c.Data {
		// Whether a bucket goes with what it holds is read from the state.
		tf.Vars = append(tf.Vars, "force_destroy=true", "retention={soft_days=0, ledger_days=0}")
		if err := step(board, "open the buckets", apply(ctx, tf, "module.incoming", "module.datasets", "module.models", "module.predictions", "module.ledger")); err != nil {
			return err
		}
	}
	var removed int
	if err := step(board, "take the loop down", func(stage *progress.Stage) (string, error) {
		s, err := tf.Destroy(ctx, func(done, total int, about string) { stage.Set(done, total, "%d of %d, %s", done, total, about) })
		removed = s.Remove
		return fmt.Sprintf("%d removed", s.Remove), err
	}); err != nil {
		return err
	}
	return g.answer(map[string]any{"removed": removed}, func(w io.Writer) {
		fmt.Fprintf(w, "Nothing of the loop is left in %s but gs://%s, with the state's history.\n", g.Project, cloud.StateBucket(g.Project))
	})
}
