// Command trainer is the training job: it trains the model of a run, packs it,
// measures it and has it registered.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/litterloop/litterloop/cmd/internal/worker"
	"github.com/litterloop/litterloop/shared/telemetry"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	log := telemetry.Logger(os.Stderr, os.Getenv)
	if err := worker.Train(ctx, os.Args[1:], os.Getenv, log); err != nil {
		log.Error("the training job ended", "args", os.Args[1:], "error", err)
		os.Exit(1)
	}
}
