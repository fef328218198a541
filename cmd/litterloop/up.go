package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/litterloop/litterloop/cmd/litterloop/local"
	"github.com/litterloop/litterloop/cmd/litterloop/progress"
)

type upCmd struct {
	Schedule string `help:"When to check for drift: cron, or \"@every 10m\"." default:"0 4 * * *"`
	Policy   string `help:"Policy file for a new state." type:"existingfile"`
	Fsync    bool   `help:"Let what was acknowledged survive a power cut too."`
	Empty    bool   `help:"Start with nothing in the cloud: what is there, terraform apply makes."`

	deployFlags
}

// Run keeps the local cloud running until interrupted; with a project it makes
// the loop there and ends.
func (c *upCmd) Run(ctx context.Context, g *globals) error {
	if g.Project != "" {
		return c.deploy(ctx, g)
	}
	begin := time.Now()
	var policy []byte
	if c.Policy != "" {
		text, err := readPolicy(c.Policy)
		if err != nil {
			return err
		}
		policy = text
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
	l, err := local.Start(ctx, local.Options{State: g.State, Schedule: c.Schedule, Policy: policy, Fsync: c.Fsync, Declared: c.Empty, Log: log})
	if err != nil {
		return err
	}
	e := l.Cloud.Endpoints
	if err := g.answer(e, func(w io.Writer) {
		fmt.Fprintf(w, "The local cloud is up (%d ms). Ctrl-C stops it; what is in %s stays.\n\n", time.Since(begin).Milliseconds(), g.State)
		if c.Empty {
			fmt.Fprintf(w, "  Terraform          . %s/terraform.sh && terraform -chdir=terraform apply -var-file=envs/local.tfvars\n", g.State)
		}
		fmt.Fprintf(w, "  drop photos        litterloop drop DIR --state %s\n", g.State)
		fmt.Fprintf(w, "  watch              litterloop status --state %s\n", g.State)
		fmt.Fprintf(w, "  runs and models    http://%s (for MLflow: export MLFLOW_TRACKING_URI=http://%[1]s)\n", e.Tracking)
		fmt.Fprintf(w, "  Google's own tools . %s/env.sh && gcloud storage ls gs://%s\n", g.State, l.Incoming)
		fmt.Fprintf(w, "  log                %s/loop.log\n", g.State)
	}); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
	case err = <-l.Cloud.Failed():
	}
	fmt.Fprintln(os.Stderr, "stopping…")
	if closing := l.Close(ctx); err == nil {
		err = closing
	}
	return err
}
