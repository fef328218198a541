package main

import (
	"context"
	"log/slog"
	"os"

	"github.com/litterloop/litterloop/cmd/internal/worker"
)

// The local Cloud Run starts this same program for its containers.

type detectorCmd struct{}

// Run serves the detector, configured by the environment.
func (*detectorCmd) Run(ctx context.Context) error {
	return worker.Detect(ctx, nil, os.Getenv, jsonLog())
}

type trainerCmd struct {
	Args []string `arg:"" passthrough:""`
}

// Run runs the training job.
func (c *trainerCmd) Run(ctx context.Context) error {
	return worker.Train(ctx, c.Args, os.Getenv, jsonLog())
}

func jsonLog() *slog.Logger { return slog.New(slog.NewJSONHandler(os.Stderr, nil)) }
