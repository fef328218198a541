package main

import (
	"context"
	"os"

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
