package worker

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"cloud.google.com/go/storage"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/blob/blobgcs"
	"github.com/litterloop/litterloop/shared/detector/service"
	"github.com/litterloop/litterloop/shared/setup"
)

// Detect serves the detector until ctx ends. An error that is flag.ErrHelp asks
// for service.Help.
func Detect(ctx context.Context, args []string, getenv func(string) string, log *slog.Logger) error {
	cfg, err := service.FromFlags(args, getenv)
	if err != nil {
		return err
	}
	traces, err := setup.Telemetry(ctx, "detector", false, getenv, log)
	if err != nil {
		return err
	}
	defer shutdown(ctx, traces, log)
	var mu sync.Mutex
	var client *storage.Client // built when first needed: a model in a directory needs no cloud
	bucket := func(ctx context.Context, name string) (blob.Bucket, error) {
		mu.Lock()
		defer mu.Unlock()
		if client == nil {
			c, err := storage.NewClient(context.WithoutCancel(ctx))
			if err != nil {
				return nil, err
			}
			client = c
		}
		return blobgcs.New(client, name), nil
	}
	defer func() {
		if client != nil {
			client.Close()
		}
	}()
	return service.Run(ctx, cfg, service.Deps{Bucket: bucket, Log: log, Now: time.Now})
}
