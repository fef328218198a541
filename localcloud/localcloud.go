// Package localcloud is as much of Google Cloud as the loop needs, on one
// machine: Cloud Storage, Pub/Sub with push, Cloud Scheduler and Cloud Run, each
// speaking its real API to the unmodified Google clients. What it acknowledged
// survives kill -9. It listens on loopback alone.
package localcloud

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/litterloop/litterloop/localcloud/controlplane"
	"github.com/litterloop/litterloop/localcloud/iam"
	"github.com/litterloop/litterloop/localcloud/monitoring"
	"github.com/litterloop/litterloop/localcloud/pubsub"
	"github.com/litterloop/litterloop/localcloud/run"
	"github.com/litterloop/litterloop/localcloud/scheduler"
	"github.com/litterloop/litterloop/localcloud/storage"
)

// Options of a local cloud. Dir and Images are required.
type Options struct {
	Dir     string              // everything that must survive
	Project string              // default "local"
	Images  map[string][]string // container image -> command line
	Env     []string            // added to the environment of every container
	Fsync   bool                // acknowledged writes also survive the loss of power
	// Enforce has IAM policies decide what the processes that the cloud runs may
	// do, each as its service account; otherwise everybody may do everything.
	Enforce bool
	// Audit is told of each call of an account where policies are enforced.
	Audit  func(iam.Call)
	Faults Faults
	Log    *slog.Logger
}

// loopback keeps containers that take their address from HOST, as the detector
// does, off the network: they are reached through Cloud Run's proxy alone.
var loopback = []string{"HOST=127.0.0.1"}

// Cloud is a running local cloud.
type Cloud struct {
	Endpoints Endpoints
	Storage   *storage.Server
	PubSub    *pubsub.Server
	Run       *run.Server
	Scheduler *scheduler.Scheduler
	// Control answers Terraform; see package controlplane.
	Control *controlplane.Server
	// Access decides who may do what; nil where policies are not enforced.
	Access *iam.Authorizer

	log       *slog.Logger
	mu        sync.Mutex // guards servers
	grpc      *grpc.Server
	servers   []*http.Server
	callers   *identities
	functions net.Listener
	tracking  net.Listener
	failed    chan error
}

// Start opens the state in o.Dir and serves it. Only one process may have a
// directory open; a second is refused with who has it.
func Start(ctx context.Context, o Options) (_ *Cloud, err error) {
	if o.Project == "" {
		o.Project = "local"
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	c := &Cloud{log: o.Log, failed: make(chan error, 4)}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Close(context.WithoutCancel(ctx)))
		}
	}()
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return c, fmt.Errorf("state of the local cloud: %w", err)
	}
	former, _ := ReadEndpoints(o.Dir) // keep the ports, so that addresses in people's hands stay true
	var l listeners
	storageL := l.listen(former.Storage)
	grpcL := l.listen(former.GRPC)
	restL := l.listen(former.PubSubREST)
	controlL := l.listen(former.ControlPlane)
	c.functions = l.listen(former.Functions)
	c.tracking = l.listen(former.Tracking)
	if l.err != nil {
		return c, fmt.Errorf("listen on loopback: %w", l.err)
	}
	c.Endpoints = Endpoints{Project: o.Project, PID: os.Getpid(),
		Storage: storageL.Addr().String(), GRPC: grpcL.Addr().String(), PubSubREST: restL.Addr().String(), Functions: c.functions.Addr().String(), ControlPlane: controlL.Addr().String(), Tracking: c.tracking.Addr().String()}

	// The order matters: storage publishes what a crash left unpublished as soon
	// as it opens, and Pub/Sub pushes to functions.
	docs, err := controlplane.Open(filepath.Join(o.Dir, "controlplane"))
	if err != nil {
		return c, err
	}
	base, running := c.Endpoints.Environ(), run.Options{}
	callers := newIdentities(c)
	c.callers = callers
	c.grpc = grpc.NewServer(grpc.MaxRecvMsgSize(pubsub.MaxRequestBytes), grpc.UnaryInterceptor(callers.unary), grpc.StreamInterceptor(callers.stream))
	if o.Enforce {
		c.Access = iam.New(iam.Options{Project: o.Project, Policy: docs.Policy, Audit: o.Audit, Log: o.Log})
		c.Endpoints.Metadata = c.Endpoints.ControlPlane
		base, running.Identity, running.Identify = nil, callers.environ, c.identify
	}
	if c.PubSub, err = pubsub.New(pubsub.Options{Dir: filepath.Join(o.Dir, "pubsub"), Fsync: o.Fsync, Access: c.Access, Agent: iam.PubSubAgent(controlplane.Number), Log: o.Log, Faults: o.Faults.pubsub()}); err != nil {
		return c, err
	}
	if c.Storage, err = storage.New(storage.Options{Dir: filepath.Join(o.Dir, "storage"), Fsync: o.Fsync, Notify: c.PubSub.Publish, Access: c.Access, Agent: iam.StorageAgent(controlplane.Number), Log: o.Log, Faults: o.Faults.storage()}); err != nil {
		return c, err
	}
	running.Dir, running.Images, running.BaseEnv = filepath.Join(o.Dir, "run"), o.Images, slices.Concat(base, o.Env, loopback)
	running.Access, running.Faults, running.Log = c.Access, o.Faults.run(), o.Log
	if c.Run, err = run.New(running); err != nil {
		return c, err
	}
	if c.Scheduler, err = scheduler.New(scheduler.Options{Dir: filepath.Join(o.Dir, "scheduler"), Token: c.PubSub.Token, Log: o.Log}); err != nil {
		return c, err
	}
	c.Control = controlplane.New(controlplane.Options{Documents: docs, Project: o.Project, Access: c.Access,
		Storage: c.Storage, PubSub: c.PubSub, Run: c.Run,
		TimeSeries: monitoring.Handler(monitoring.Sources{Subscriptions: c.PubSub.Stats, Revisions: c.Run.Stats, Now: time.Now}), Functions: functions{c.Endpoints.GRPC}, Schedule: c.Scheduler, Log: o.Log})
	c.PubSub.Register(c.grpc)
	c.Run.Register(c.grpc)
	go c.report(func() error { return c.grpc.Serve(grpcL) })
	c.serve(storageL, c.storage())
	c.serve(restL, c.pubsub())
	c.serve(controlL, c.control(owner))
	close(callers.ready)
	return c, c.Endpoints.write(o.Dir)
}

// ServeFunctions serves the functions by their names as paths.
func (c *Cloud) ServeFunctions(h http.Handler) { c.serve(c.functions, h) }

// ServeTracking serves the tracking server, which is the loop's own.
func (c *Cloud) ServeTracking(h http.Handler) { c.serve(c.tracking, h) }

func (c *Cloud) serve(l net.Listener, h http.Handler) {
	s := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	c.mu.Lock()
	c.servers = append(c.servers, s)
	c.mu.Unlock()
	go c.report(func() error { return s.Serve(l) })
}

func (c *Cloud) report(serve func() error) {
	if err := serve(); err != nil && !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, grpc.ErrServerStopped) {
		c.log.Error("local cloud stopped serving", "error", err)
		c.failed <- err
	}
}

// Failed yields the error of a server that stopped by itself.
func (c *Cloud) Failed() <-chan error { return c.failed }

// Close stops the schedule, then the containers, then what they speak to, and
// lets requests in flight finish until ctx ends.
func (c *Cloud) Close(ctx context.Context) error {
	var faults []error
	if c.Scheduler != nil {
		faults = append(faults, c.Scheduler.Close())
	}
	if c.Run != nil {
		faults = append(faults, c.Run.Close(ctx))
	}
	if c.PubSub != nil {
		faults = append(faults, c.PubSub.Close())
	}
	if c.callers != nil {
		c.callers.close()
	}
	c.mu.Lock()
	servers := slices.Clone(c.servers)
	c.mu.Unlock()
	for _, s := range servers {
		if err := s.Shutdown(ctx); err != nil {
			faults = append(faults, s.Close())
		}
	}
	for _, l := range []net.Listener{c.functions, c.tracking} { // of what was never served
		if l != nil {
			if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
				faults = append(faults, err)
			}
		}
	}
	if c.grpc != nil {
		c.grpc.Stop()
	}
	if c.Storage != nil {
		faults = append(faults, c.Storage.Close())
	}
	return errors.Join(faults...)
}
