// Command detector serves an object detection model over HTTP. It is the
// container of a Cloud Run service; docs/detector.md lists its settings.
package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/litterloop/litterloop/cmd/internal/worker"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	log := slog.New(slog.NewJSONHandler(os.Stderr, nil))
	if err := worker.Detect(ctx, os.Getenv, log); err != nil {
		log.Error("the detector ends", "error", err)
		os.Exit(1)
	}
}
