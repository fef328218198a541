// Package worker wires the two programs that link ONNX Runtime, the training job
// and the detector, for their own commands and for the local cloud's processes.
package worker

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"time"

	"github.com/litterloop/litterloop/shared/registry"
	"github.com/litterloop/litterloop/shared/setup"
	"github.com/litterloop/litterloop/shared/telemetry"
	"github.com/litterloop/litterloop/shared/telemetry/export"
	"github.com/litterloop/litterloop/shared/tracking"
	"github.com/litterloop/litterloop/shared/training"
	"github.com/litterloop/litterloop/shared/training/job"
	"github.com/litterloop/litterloop/shared/training/job/engine"
)

// Train runs the training job with the arguments that the train function gave it.
func Train(ctx context.Context, args []string, getenv func(string) string, log *slog.Logger) (err error) {
	if helper(getenv) {
		log.InfoContext(ctx, "nothing to do: the first task of this job trains alone")
		return nil
	}
	cfg, err := setup.FromEnv(getenv)
	if err != nil {
		return err
	}
	traces, err := setup.Telemetry(ctx, "trainer", true, getenv, log)
	if err != nil {
		return err
	}
	defer shutdown(ctx, traces, log)
	ctx = telemetry.FromEnviron(ctx, getenv)
	parts, err := setup.Open(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, parts.Close()) }()
	models := parts.Bucket(parts.Models)
	return job.Run(ctx, args, job.Deps{
		Model: parts.Model, Models: models, Datasets: parts.Bucket(parts.Datasets),
		Book: training.NewBook(models, time.Now), Runs: tracking.New(models, time.Now), Registry: registry.New(models, time.Now),
		Bus: parts.Publisher(), Trainer: Recipes(getenv, parts.Bucket, log), Open: engine.Open, Score: engine.Score, Report: engine.Report,
		Execution: execution(parts.Location(), getenv), Code: cfg.Version, Now: time.Now, Log: log,
	})
}

// shutdown sends the last spans and metrics; that they do not arrive is no
// failure of the work.
func shutdown(ctx context.Context, p *export.Provider, log *slog.Logger) {
	if err := p.Shutdown(ctx); err != nil {
		log.Warn("telemetry was not delivered", "error", err)
	}
}

// helper tells whether this is not the first of the tasks or machines of a job:
// together they would train one run several times.
func helper(getenv func(string) string) bool {
	if index := getenv("CLOUD_RUN_TASK_INDEX"); index != "" && index != "0" {
		return true
	}
	var cluster struct {
		Task struct {
			Type  string `json:"type"`
			Index int    `json:"index"`
		} `json:"task"`
	}
	if json.Unmarshal([]byte(getenv("CLUSTER_SPEC")), &cluster) != nil { // not Vertex AI
		return false
	}
	return cluster.Task.Type != "" && (cluster.Task.Type != "workerpool0" || cluster.Task.Index != 0)
}

// execution is this execution's full name, as Cloud Run's API takes it; empty
// outside a Cloud Run job.
func execution(location string, getenv func(string) string) string {
	job, e := getenv("CLOUD_RUN_JOB"), getenv("CLOUD_RUN_EXECUTION")
	if job == "" || e == "" {
		return ""
	}
	return location + "/jobs/" + job + "/executions/" + e
}
