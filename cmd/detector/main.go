// Command detector serves an object detection model over HTTP. It is the
// container of a Cloud Run service; --help lists its settings.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/litterloop/litterloop/cmd/internal/worker"
	"github.com/litterloop/litterloop/shared/detector/service"
	"github.com/litterloop/litterloop/shared/telemetry"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	log := telemetry.Logger(os.Stderr, os.Getenv)
	err := worker.Detect(ctx, os.Args[1:], os.Getenv, log)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Print(service.Help())
		return
	}
	if err != nil {
		log.Error("the detector ends", "error", err)
		os.Exit(1)
	}
}
