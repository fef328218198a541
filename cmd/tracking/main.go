// Command tracking is a tracking server and model registry that MLflow's clients
// speak to, with a bucket as its only store; docs/tracking.md tells of it.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/litterloop/litterloop/cmd/internal/tracker"
	"github.com/litterloop/litterloop/shared/telemetry"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	log := telemetry.Logger(os.Stderr, os.Getenv)
	var o tracker.Options
	kong.Parse(&o, kong.Name("tracking"), kong.Description("A tracking server and model registry for MLflow's clients, on a bucket."), kong.UsageOnError())
	if err := tracker.Serve(ctx, o, os.Getenv, log); err != nil {
		log.Error("the tracking server ends", "error", err)
		os.Exit(1)
	}
}
