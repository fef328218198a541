package main

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/GoogleCloudPlatform/functions-framework-go/funcframework"

	"github.com/litterloop/litterloop/cmd/internal/tracker"
	"github.com/litterloop/litterloop/cmd/internal/worker"
	"github.com/litterloop/litterloop/shared/telemetry"
)

// The local Cloud Run starts this same program for its containers.

type detectorCmd struct{}

// Run serves the detector, configured by the environment.
func (*detectorCmd) Run(ctx context.Context) error {
	return worker.Detect(ctx, nil, os.Getenv, telemetry.Logger(os.Stderr, os.Getenv))
}

type trainerCmd struct {
	Args []string `arg:"" passthrough:""`
}

// Run runs the training job.
func (c *trainerCmd) Run(ctx context.Context) error {
	return worker.Train(ctx, c.Args, os.Getenv, telemetry.Logger(os.Stderr, os.Getenv))
}

type trackingCmd struct{ tracker.Options }

// Run serves the tracking server.
func (c *trackingCmd) Run(ctx context.Context) error {
	return tracker.Serve(ctx, c.Options, os.Getenv, telemetry.Logger(os.Stderr, os.Getenv))
}

type functionCmd struct{}

// Run serves the function that FUNCTION_TARGET names, as Google Cloud's
// buildpack has it served.
func (*functionCmd) Run() error {
	slog.SetDefault(telemetry.Logger(os.Stderr, os.Getenv))
	return funcframework.StartHostPort(os.Getenv("HOST"), os.Getenv("PORT"))
}

type placeholderCmd struct {
	Args []string `arg:"" optional:"" passthrough:"" help:"What the container in its place would be told."`
}

// Run answers every request, as the container does that stands in for a detector
// before its first model, whatever its arguments are. As a job, which is given no
// port, it runs until it is stopped.
func (*placeholderCmd) Run(ctx context.Context) error {
	s := &http.Server{Addr: net.JoinHostPort(cmp.Or(os.Getenv("HOST"), "127.0.0.1"), cmp.Or(os.Getenv("PORT"), "0")), ReadHeaderTimeout: 10 * time.Second,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, "No model is deployed yet.\n")
		})}
	context.AfterFunc(ctx, func() { s.Close() })
	if err := s.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
