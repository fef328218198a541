// Package run is Cloud Run on one machine: the Admin API v2 (services,
// revisions, jobs, executions, operations) as gRPC servers that the unmodified
// Google clients speak to. A revision is a child process behind a reverse proxy
// that splits traffic; an execution of a job is a child process with retries.
// What was declared is on disk before it is answered, and survives kill -9.
package run

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"cloud.google.com/go/run/apiv2/runpb"
	"google.golang.org/grpc"

	"github.com/litterloop/litterloop/localcloud/iam"
)

// Options configure a Server. Dir and Images are needed.
type Options struct {
	// Dir holds declared state (projects/…), logs (logs/…) and the records of
	// running processes (processes/…). One Server at a time may use it.
	Dir string
	// Images maps a container image's name to the command line it stands for.
	// A container's command replaces the command line, its args are appended.
	Images map[string][]string
	// BaseEnv is the environment of every process ("KEY=value"), below that of
	// its container.
	BaseEnv []string
	// Log receives what happens to processes; nil discards it.
	Log *slog.Logger
	// Now is the clock of time stamps; nil is time.Now.
	Now func() time.Time
	// Seed makes the choice of revisions by traffic share repeatable.
	Seed uint64
	// IdleAfter is how long a revision may have no request before its process
	// is stopped until the next one, unless its template asks for a minimum of
	// instances; 0 keeps all running.
	IdleAfter time.Duration
	// Grace is the time between SIGTERM and SIGKILL, Cloud Run's 10 s when 0.
	Grace time.Duration
	// Access decides what callers may do, and who may send requests to services;
	// nil allows everything. With it, Identity returns the environment of
	// processes that run as a service account ("": none was declared), and
	// Identify whom a bearer token with a service's URL as audience is for.
	Access   *iam.Authorizer
	Identity func(account string) ([]string, error)
	Identify func(token string) (principal, audience string, err error)
	// Faults are injected into calls; nil injects none.
	Faults *Faults
}

// Server is Cloud Run for every project and location that clients name.
type Server struct {
	opt   Options
	store store
	procs *processes
	lock  *os.File
	rest  http.Handler

	ctx    context.Context // ends with Close; background work hangs on it
	cancel context.CancelFunc

	starting sync.Mutex // guards closed, and wg against a wait in between
	closed   bool
	wg       sync.WaitGroup

	mu         sync.Mutex
	services   map[string]*service
	jobs       map[string]*runpb.Job
	executions map[string]*execution
	changed    chan struct{} // closed and replaced at every change of a document
}

// New opens the state in o.Dir, ends processes that a killed predecessor left
// behind, takes up its services at their former URLs and starts again the
// executions that were in progress.
func New(o Options) (*Server, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	o.Grace = cmp.Or(o.Grace, 10*time.Second)
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("cloud run state: %w", err)
	}
	lock, err := lockDir(o.Dir)
	if err != nil {
		return nil, err
	}
	procs, err := newProcesses(filepath.Join(o.Dir, "processes"), o.Log)
	if err != nil {
		lock.Close()
		return nil, err
	}
	s := &Server{
		opt: o, store: store{dir: o.Dir}, procs: procs, lock: lock,
		services:   map[string]*service{},
		jobs:       map[string]*runpb.Job{},
		executions: map[string]*execution{},
		changed:    make(chan struct{}),
	}
	s.rest = s.routes()
	s.ctx, s.cancel = context.WithCancel(context.Background())
	if err := s.load(); err != nil {
		return nil, errors.Join(err, s.Close(s.ctx))
	}
	return s, nil
}

// lockDir refuses a directory in use: its processes would be taken for
// leftovers and killed.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("cloud run state: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("cloud run state %s is in use by another process: %w", dir, err)
	}
	return f, nil
}

// load reads every document and sets in motion what they declare.
func (s *Server) load() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.loadServices(); err != nil {
		return err
	}
	return s.loadJobs()
}

// Register adds the Cloud Run services, and the operations that their calls
// return, to a gRPC server.
func (s *Server) Register(r grpc.ServiceRegistrar) {
	r = guard{r, s}
	runpb.RegisterServicesServer(r, servicesAPI{s: s})
	runpb.RegisterRevisionsServer(r, revisionsAPI{s: s})
	runpb.RegisterJobsServer(r, jobsAPI{s: s})
	runpb.RegisterExecutionsServer(r, executionsAPI{s: s})
	longrunningpb.RegisterOperationsServer(r, operationsAPI{s: s})
}

// Close stops serving, lets requests in flight finish until ctx ends, and then
// ends every process. What is declared stays: executions in progress start
// again, as a new attempt, when the directory is next opened.
func (s *Server) Close(ctx context.Context) error {
	s.mu.Lock()
	var endpoints []*endpoint
	for _, v := range s.services {
		endpoints = append(endpoints, v.main)
		for _, e := range v.tags {
			endpoints = append(endpoints, e)
		}
	}
	s.mu.Unlock()
	var wg sync.WaitGroup
	for _, e := range endpoints {
		wg.Go(func() { e.close(ctx) })
	}
	wg.Wait()
	s.starting.Lock()
	s.closed = true
	s.starting.Unlock()
	s.cancel()
	s.wg.Wait()
	s.procs.close()
	// Said, not left to closing: a process that is being started elsewhere in
	// this program holds the file for a moment longer.
	return errors.Join(syscall.Flock(int(s.lock.Fd()), syscall.LOCK_UN), s.lock.Close())
}

// background runs f beside the calls; Close waits for it, and after Close
// nothing starts.
func (s *Server) background(f func()) {
	s.starting.Lock()
	defer s.starting.Unlock()
	if !s.closed {
		s.wg.Go(f)
	}
}

// notify wakes whoever waits for a document to change. Needs s.mu.
func (s *Server) notify() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// await blocks until check is true, looking again at every change of a
// document. check runs with s.mu held.
func (s *Server) await(ctx context.Context, check func() bool) error {
	for {
		s.mu.Lock()
		ok, changed := check(), s.changed
		s.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		case <-s.ctx.Done():
			return errClosed
		}
	}
}

var errClosed = errors.New("the local Cloud Run is shutting down")
