// Package local runs the whole loop on one machine: the local cloud, provisioned
// as Terraform provisions the real one, and the functions in this process.
package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/litterloop/litterloop"
	"github.com/litterloop/litterloop/cmd/internal/worker"
	"github.com/litterloop/litterloop/cmd/litterloop/client"
	"github.com/litterloop/litterloop/localcloud"
	"github.com/litterloop/litterloop/localcloud/iam"
	"github.com/litterloop/litterloop/localcloud/scheduler"
	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/config"
	"github.com/litterloop/litterloop/shared/drift"
	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/onnxruntime/library"
	"github.com/litterloop/litterloop/shared/setup"
	"github.com/litterloop/litterloop/shared/telemetry"
	"github.com/litterloop/litterloop/shared/telemetry/export"
	"github.com/litterloop/litterloop/shared/tracking/pages"
	"github.com/litterloop/litterloop/shared/tracking/server"
)

// Options of a local loop.
type Options struct {
	State    string
	Schedule string // of the drift check: cron, or "@every 5s"
	Policy   []byte // policy file for a state that has none; nil: the defaults
	Faults   localcloud.Faults
	Fsync    bool
	// Declared starts a cloud with nothing in it: what there is, functions and
	// all, Terraform makes, and its IAM policies are enforced.
	Declared bool
	// Audit is told of each call of an account in a declared cloud; nil: nobody.
	Audit func(iam.Call)
	Log   *slog.Logger
}

// Loop is a running local loop, and a client of it.
type Loop struct {
	*client.Client
	Cloud *localcloud.Cloud

	telemetry *export.Provider
	registry  *prometheus.Registry
	metrics   http.Handler
}

// The scheduler's names of the drift check, and of the watch over the training in
// flight.
const (
	DriftJob = "drift"
	WatchJob = "watch"
)

// Schedules are the functions that the scheduler calls, by the names of its jobs.
var Schedules = map[string]string{DriftJob: "drift", WatchJob: "train"}

// watching is how often the watch looks: a job of this machine that died is
// missed at once. On Google Cloud it is minutes.
const watching = "@every 3s"

// Start runs the loop until Close. What was under way when it last stopped goes on.
func Start(ctx context.Context, o Options) (_ *Loop, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program, which the local Cloud Run starts for its containers: %w", err)
	}
	cloud, err := localcloud.Start(ctx, localcloud.Options{
		Dir: o.State, Fsync: o.Fsync, Faults: o.Faults, Log: o.Log,
		Images: images(self), Enforce: o.Declared, Audit: o.Audit,
		Env: append(containerEnv(), export.FileEnv+"="+Traces(o.State)),
	})
	if err != nil {
		return nil, err
	}
	l := &Loop{Cloud: cloud}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.Close(context.WithoutCancel(ctx)))
		}
	}()
	if err := l.observe(ctx, o); err != nil {
		return l, err
	}
	if l.Client, err = client.Local(ctx, cloud.Endpoints, os.Getenv); err != nil {
		return l, err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", l.metrics)
	mux.HandleFunc("GET "+localcloud.DetectorMetrics, l.detectorMetrics)
	l.registry.MustRegister(drift.NewStore(l.Bucket(l.Predictions)).Collector())
	cloud.ServeTracking(l.tracking(o.Log))
	if o.Declared {
		mux.HandleFunc("GET "+client.Refusals, l.refusals)
		cloud.ServeFunctions(mux)
		return l, nil
	}
	if err := provision(ctx, cloud.Endpoints, l.Config); err != nil {
		return l, err
	}
	if o.Policy != nil {
		_, err := l.Bucket(l.Models).Write(ctx, config.Object, bytes.NewReader(o.Policy), blob.WriteOptions{IfGeneration: blob.Absent, ContentType: "application/yaml"})
		if err != nil && !errors.Is(err, errs.Conflict) {
			return l, fmt.Errorf("write the policy: %w", err)
		}
	}
	open := func(context.Context) (*setup.Parts, error) { return l.Parts, nil }
	for _, f := range litterloop.Functions {
		mux.Handle("/"+f.Name, f.Handler(open, o.Log))
	}
	cloud.ServeFunctions(mux)
	account := fmt.Sprintf("scheduler@%s.iam.gserviceaccount.com", cloud.Endpoints.Project)
	for name, when := range map[string]string{DriftJob: o.Schedule, WatchJob: watching} {
		err := cloud.Scheduler.Put(scheduler.Job{Name: name, Schedule: when, Target: scheduler.Target{URL: l.Functions + "/" + Schedules[name], Account: account}})
		if err != nil {
			return l, err
		}
	}
	return l, nil
}

// images are the containers that the local Cloud Run knows, each this program:
// by their names here, and by the last part of whatever name Terraform gives.
func images(self string) map[string][]string {
	all := map[string][]string{localcloud.FunctionImage: {self, "function"}, "hello": {self, "placeholder"}}
	for image, command := range map[string]string{localcloud.DetectorImage: "detector", localcloud.TrainerImage: "trainer", localcloud.TrackingImage: "tracking"} {
		all[image], all[path.Base(image)] = []string{self, command}, []string{self, command}
	}
	all["trainer-ultralytics"] = []string{self, "trainer"}
	return all
}

// tracking is the tracking server with its pages, where the loop stands among
// them.
func (l *Loop) tracking(log *slog.Logger) http.Handler {
	return server.New(server.Options{
		Bucket: l.Bucket(l.Models), Now: time.Now, Log: log,
		Pages: func(b blob.Bucket, prefix string) server.Pages {
			return pages.New(pages.Options{Bucket: b, Prefix: prefix, Now: time.Now, Log: log, Loop: l.Snapshot})
		},
	})
}

// containerEnv is what containers see of this machine: where temporary files and
// the cache with ONNX Runtime's library are.
func containerEnv() []string {
	var env []string
	for _, key := range []string{"HOME", "PATH", "TMPDIR", "XDG_CACHE_HOME", "LD_LIBRARY_PATH", "LOG_LEVEL", library.Env, worker.PythonEnv} {
		if v, ok := os.LookupEnv(key); ok {
			env = append(env, key+"="+v)
		}
	}
	for _, kv := range os.Environ() {
		if strings.HasPrefix(kv, "OTEL_") {
			env = append(env, kv)
		}
	}
	return env
}

// Close ends everything in order, within half a minute; what is unfinished goes
// on at the next Start.
func (l *Loop) Close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	err := l.Cloud.Close(ctx)
	if l.Client != nil {
		err = errors.Join(err, l.Client.Close())
	}
	if lost := l.telemetry.Shutdown(ctx); lost != nil {
		slog.WarnContext(ctx, "telemetry was not delivered", "error", lost)
	}
	return err
}

// OpenLog opens the loop's log file in the state directory.
func OpenLog(state string) (*slog.Logger, func() error, error) {
	if err := os.MkdirAll(state, 0o755); err != nil {
		return nil, nil, fmt.Errorf("state directory: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(state, "loop.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, nil, fmt.Errorf("log file: %w", err)
	}
	return slog.New(telemetry.WithTrace(slog.NewJSONHandler(f, nil))), f.Close, nil
}
