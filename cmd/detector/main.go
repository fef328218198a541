// Command detector serves an object detection model over HTTP. It is the
// container of a Cloud Run service; docs/detector.md lists its settings.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/litterloop/litterloop/shared/detector/service"
	"github.com/litterloop/litterloop/shared/setup"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	log := slog.New(slog.NewJSONHandler(os.Stderr, nil))
	if err := run(ctx, log); err != nil {
		log.Error("detector ends", "error", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, log *slog.Logger) error {
	config, err := service.FromEnv(os.Getenv)
	if err != nil {
		return fmt.Errorf("settings:\n%w", err)
	}
	deps := service.Deps{Log: log, Now: time.Now}
	if config.NeedsBuckets() {
		c, err := setup.FromEnv(os.Getenv)
		if err != nil {
			return fmt.Errorf("settings:\n%w", err)
		}
		parts, err := setup.Open(ctx, c)
		if err != nil {
			return err
		}
		defer parts.Close()
		deps.Bucket = parts.Bucket
	}
	return service.Run(ctx, config, deps)
}
