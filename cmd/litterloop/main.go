// Command litterloop runs and watches the loop: a local cloud on this machine,
// or a deployment on Google Cloud.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/litterloop/litterloop/cmd/litterloop/client"
	"github.com/litterloop/litterloop/cmd/litterloop/cloud"
	"github.com/litterloop/litterloop/cmd/litterloop/local"
	"github.com/litterloop/litterloop/shared/setup"
	"github.com/litterloop/litterloop/shared/telemetry/export"
)

// globals are the flags of every command, and where a command speaks.
type globals struct {
	State   string `help:"Directory of the local cloud." default:".litterloop" type:"path" placeholder:"DIR"`
	JSON    bool   `help:"Print one JSON object on standard output."`
	Project string `help:"Speak to this Google Cloud project instead of the local cloud."`

	stdout io.Writer `kong:"-"`
	stderr *os.File  `kong:"-"`
}

type cli struct {
	globals

	Demo    demoCmd    `cmd:"" help:"Show the whole loop closing, live, on this machine."`
	Up      upCmd      `cmd:"" help:"Run the local cloud until interrupted; with --project, make the loop on Google Cloud."`
	Drop    dropCmd    `cmd:"" help:"Drop a directory or archive of labelled photos as a batch."`
	Status  statusCmd  `cmd:"" help:"Show batches, versions, trainings, what serves and what waits."`
	Taco    tacoCmd    `cmd:"" help:"Download TACO's photos by the addresses in its annotations, as a batch to drop."`
	Data    dataCmd    `cmd:"" help:"List, fetch, verify and compare data set versions; convert labels on disk."`
	Models  modelsCmd  `cmd:"" help:"List model versions, aliases and gates."`
	Runs    runsCmd    `cmd:"" help:"List, show, compare, delete and restore runs."`
	Train   trainCmd   `cmd:"" help:"Train a detector on labelled photos in a directory; no cloud."`
	Predict predictCmd `cmd:"" help:"Ask the deployed detector about a photo."`
	Drift   driftCmd   `cmd:"" help:"Check for drift now."`
	Events  eventsCmd  `cmd:"" help:"List events that could not be handled, or alerts; replay them."`
	Trace   traceCmd   `cmd:"" help:"Show where the time of a pass of the loop went."`
	Init    initCmd    `cmd:"" help:"Check what a Google Cloud project needs, and write its settings for Terraform."`
	Destroy destroyCmd `cmd:"" help:"Take the loop down in a Google Cloud project."`
	Source  sourceCmd  `cmd:"" help:"Pack the functions' source, as Terraform uploads it."`
	Cost    costCmd    `cmd:"" help:"Say what a month costs on Google Cloud."`
	Doctor  doctorCmd  `cmd:"" help:"Check what this machine needs, and name the command that mends it."`
	Policy  policyCmd  `cmd:"" help:"Show what is tuned, check a policy file, or print its schema."`
	Bench   benchCmd   `cmd:"" help:"Measure whole processes; docs/benchmarks.md has the figures."`

	Detector detectorCmd `cmd:"" hidden:"" help:"The inference server, as a revision of the local Cloud Run."`
	Trainer  trainerCmd  `cmd:"" hidden:"" help:"The training job, as an execution of the local Cloud Run."`
	Tracking trackingCmd `cmd:"" hidden:"" help:"The tracking server, as a revision of the local Cloud Run."`

	Function    functionCmd    `cmd:"" hidden:"" help:"One function, as a revision of the local Cloud Run."`
	Placeholder placeholderCmd `cmd:"" hidden:"" help:"What answers before the first model, as a revision of the local Cloud Run."`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run is main with its world given; it returns the exit status: 0, 1 when the
// command failed, 2 when it was not understood.
func run(ctx context.Context, args []string, stdout io.Writer, stderr *os.File) int {
	var c cli
	c.stdout, c.stderr = stdout, stderr
	parser, err := kong.New(&c, kong.Name("litterloop"), kong.UsageOnError(),
		kong.Description("MLOps for object detection without a platform team."), kong.Vars{"versionHelp": versionHelp},
		kong.BindTo(ctx, (*context.Context)(nil)), kong.Bind(&c.globals), kong.Writers(stdout, stderr))
	if err != nil {
		fmt.Fprintln(stderr, "litterloop:", err)
		return 2
	}
	parsed, err := parser.Parse(args)
	if err != nil {
		fmt.Fprintln(stderr, "litterloop:", err, "\nRun `litterloop --help` for the commands.")
		return 2
	}
	if err := parsed.Run(); err != nil {
		if errors.Is(err, context.Canceled) && ctx.Err() != nil {
			fmt.Fprintln(stderr, "interrupted; the same command goes on from here")
			return 130
		}
		fmt.Fprintln(stderr, "litterloop:", c.explain(err))
		return 1
	}
	return 0
}

// explain is an error in one line, with the command that mends it, where Google
// Cloud gave it and its cause is known. LOG_LEVEL=debug keeps all its words.
func (g *globals) explain(err error) string {
	words := err.Error()
	if g.Project == "" || strings.Contains(words, "mend it:") {
		return words
	}
	says := cloud.Explain(words, g.Project)
	switch {
	case says == "":
		return words
	case os.Getenv("LOG_LEVEL") == "debug":
		return says + "\n" + words
	}
	return says
}

// connect opens the deployment that the flags name.
func (g *globals) connect(ctx context.Context) (*client.Client, error) {
	return client.Connect(ctx, g.State, g.Project, os.Getenv)
}

// telemetry sets up the spans of a command that begins a trace: where
// OpenTelemetry's variables say, else in the file of the local cloud, or in Cloud
// Trace.
func (g *globals) telemetry(ctx context.Context) (*export.Provider, error) {
	o := export.Options{Service: "litterloop", Getenv: os.Getenv, Always: true, Client: setup.SignedIn, Log: slog.New(slog.DiscardHandler)}
	if g.Project == "" {
		o.File = local.Traces(g.State)
	} else {
		o.Google = os.Getenv("STORAGE_EMULATOR_HOST") == ""
		o.Getenv = func(key string) string {
			if key == "GOOGLE_CLOUD_PROJECT" {
				return g.Project
			}
			return os.Getenv(key)
		}
	}
	return export.Start(ctx, o)
}

// answer prints v as JSON when asked for, and calls text otherwise.
func (g *globals) answer(v any, text func(w io.Writer)) error {
	if !g.JSON {
		text(g.stdout)
		return nil
	}
	e := json.NewEncoder(g.stdout)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
