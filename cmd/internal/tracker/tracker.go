// Package tracker serves the tracking server, for its own command and for the
// local cloud's processes.
package tracker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"cloud.google.com/go/storage"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/blob/blobgcs"
	"github.com/litterloop/litterloop/shared/config"
	"github.com/litterloop/litterloop/shared/setup"
	"github.com/litterloop/litterloop/shared/status"
	"github.com/litterloop/litterloop/shared/telemetry"
	"github.com/litterloop/litterloop/shared/tracking/pages"
	"github.com/litterloop/litterloop/shared/tracking/server"
)

// Options are the command's flags.
type Options struct {
	Bucket    string   `help:"Bucket that holds everything." env:"MODELS_BUCKET"`
	Ephemeral bool     `help:"Keep everything in memory; each first path segment of 32 hexadecimal digits is a store of its own."`
	Host      string   `help:"Address to listen on; 127.0.0.1, or in a container every one." env:"HOST"`
	Port      int      `help:"Port to listen on; 0: any free one." default:"5000" env:"PORT"`
	Prefix    string   `help:"Prefix of every path, such as /mlflow."`
	Hosts     []string `help:"Host names to answer to, beside those of this machine and of private networks; * for any." placeholder:"NAME"`
	Origins   []string `help:"Pages of these origins may send changes." placeholder:"URL"`
	Fronted   bool     `help:"A front end has judged the host name. So it is on Cloud Run, where this need not be said."`
}

// Validate implements kong's hook.
func (o *Options) Validate() error {
	var faults []error
	if (o.Bucket == "") == !o.Ephemeral {
		faults = append(faults, errors.New("give --bucket NAME, or --ephemeral to keep everything in memory"))
	}
	if o.Prefix != "" && o.Prefix[0] != '/' {
		faults = append(faults, fmt.Errorf("--prefix %q: begin it with /", o.Prefix))
	}
	if o.Port < 0 || o.Port > 65535 {
		faults = append(faults, fmt.Errorf("--port %d: use 0 to 65535", o.Port))
	}
	return errors.Join(faults...)
}

// shutdown is how long requests that are under way may take after the end.
const shutdown = 8 * time.Second

// Serve serves until ctx ends. It knows by the environment that it is on Cloud
// Run, whose front end judges host names.
func Serve(ctx context.Context, o Options, getenv func(string) string, log *slog.Logger) error {
	if o.Host == "" && getenv("PORT") == "" { // what a container is told
		o.Host = "127.0.0.1"
	}
	o.Fronted = o.Fronted || getenv("K_SERVICE") != ""
	traces, err := setup.Telemetry(ctx, "tracking", false, getenv, log)
	if err != nil {
		return err
	}
	defer func() {
		if err := traces.Shutdown(ctx); err != nil {
			log.Warn("telemetry was not delivered", "error", err)
		}
	}()
	handler, closed, err := o.handler(ctx, getenv, log)
	if err != nil {
		return err
	}
	defer closed()
	l, err := net.Listen("tcp", net.JoinHostPort(o.Host, fmt.Sprint(o.Port)))
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	s := &http.Server{Handler: telemetry.Handler(handler, o.Prefix+"/health", o.Prefix+"/version"), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn)}
	log.Info("the tracking server is ready", "uri", "http://"+l.Addr().String()+o.Prefix, "bucket", o.Bucket)
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdown)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		return errors.Join(fmt.Errorf("end requests that are under way: %w", err), s.Close())
	}
	return nil
}

// handler is the server itself; closed gives back what it holds.
func (o Options) handler(ctx context.Context, getenv func(string) string, log *slog.Logger) (_ http.Handler, closed func() error, err error) {
	var loop func(context.Context) (status.Snapshot, error)
	options := server.Options{
		Prefix: o.Prefix, Now: time.Now, Log: log,
		Pages: func(b blob.Bucket, prefix string) server.Pages {
			return pages.New(pages.Options{Bucket: b, Prefix: prefix, Now: time.Now, Log: log, Loop: loop})
		},
		Hosts: server.Hosts{Allowed: o.Hosts, Origins: o.Origins, Fronted: o.Fronted},
	}
	if o.Ephemeral {
		return server.NewEphemeral(options), func() error { return nil }, nil
	}
	if alone(getenv) {
		client, err := storage.NewClient(ctx)
		if err != nil {
			return nil, nil, fmt.Errorf("cloud storage client: %w", err)
		}
		options.Bucket = blobgcs.New(client, o.Bucket)
		options.Keep = keep(options.Bucket)
		return server.New(options), client.Close, nil
	}
	cfg, err := setup.FromEnv(getenv)
	if err != nil {
		return nil, nil, err
	}
	cfg.Models = o.Bucket
	parts, err := setup.Open(ctx, cfg)
	if err != nil {
		return nil, nil, err
	}
	sources := parts.Sources()
	sources.Incoming = nil // photos that people drop are none of this server's business
	loop = func(ctx context.Context) (status.Snapshot, error) { return status.Read(ctx, sources) }
	options.Bucket = parts.Bucket(o.Bucket)
	options.Keep = keep(options.Bucket)
	return server.New(options), parts.Close, nil
}

// alone tells whether there is a store and no loop beside it: no project is named,
// or storage is on this machine and Pub/Sub is not.
func alone(getenv func(string) string) bool {
	return getenv("GOOGLE_CLOUD_PROJECT") == "" || getenv("STORAGE_EMULATOR_HOST") != "" && getenv("PUBSUB_EMULATOR_HOST") == ""
}

// keep reads from the policy how long what was deleted stays.
func keep(models blob.Bucket) func(context.Context) (time.Duration, error) {
	return func(ctx context.Context) (time.Duration, error) {
		policy, err := config.Read(ctx, models)
		return policy.Registry.Keep(), err
	}
}
