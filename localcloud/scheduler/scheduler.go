// Package scheduler is Cloud Scheduler on one machine: named jobs that send an
// HTTP request on a cron schedule, with retries. What ran last is kept on disk;
// a job that was missed while the scheduler was down runs once at its start,
// however many times it was missed.
package scheduler

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Options of a Scheduler. Dir is required.
type Options struct {
	// Dir holds the jobs and when they ran. One process at a time uses it.
	Dir string
	// Log receives each run's outcome. Default: discarded.
	Log *slog.Logger
	// Now is the clock; default time.Now.
	Now func() time.Time
	// HTTPClient sends the requests; default: one without a proxy.
	HTTPClient *http.Client
	// Token signs in to an audience on behalf of an account, for jobs with one;
	// the result is sent as a bearer token. Default: no header.
	Token func(email, audience string) (string, error)
}

// ErrNotFound: there is no job of that name.
var ErrNotFound = errors.New("scheduler: no such job")

// Scheduler runs jobs until it is closed. It is safe for concurrent use.
type Scheduler struct {
	o    Options
	ctx  context.Context
	stop context.CancelFunc
	work sync.WaitGroup

	mu     sync.Mutex
	jobs   map[string]*entry
	closed bool
}

// entry is a job and what the scheduler knows of it.
type entry struct {
	job      Job
	schedule schedule
	status   Status
	changed  chan struct{} // closed when the job is changed or deleted
	running  sync.Mutex    // one run of a job at a time
}

// New loads the jobs in o.Dir and starts them.
func New(o Options) (*Scheduler, error) {
	if o.Dir == "" {
		return nil, errors.New("scheduler: Options.Dir is empty")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.HTTPClient == nil {
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.Proxy = nil // targets of the local cloud are on loopback
		o.HTTPClient = &http.Client{Transport: t}
	}
	s := &Scheduler{o: o, jobs: map[string]*entry{}}
	s.ctx, s.stop = context.WithCancel(context.Background())
	stored, err := load(o.Dir)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range stored {
		sched, err := d.Job.parse()
		if err != nil {
			return nil, fmt.Errorf("scheduler: stored job %q: %w", d.Job.Name, err)
		}
		s.start(&entry{job: d.Job, schedule: sched, status: d.Status})
	}
	return s, nil
}

// Put creates the job or changes it. An unchanged job keeps its next run; a
// changed schedule counts from now.
func (s *Scheduler) Put(j Job) error {
	j = j.withDefaults()
	sched, err := j.parse()
	if err != nil {
		return fmt.Errorf("scheduler: job %q: %w", j.Name, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errors.New("scheduler: closed")
	}
	e := &entry{job: j, schedule: sched}
	if old := s.jobs[j.Name]; old != nil {
		if old.job.equal(j) {
			return nil
		}
		e.status = old.status
		if old.job.Schedule != j.Schedule || old.job.TimeZone != j.TimeZone {
			e.status.Next = time.Time{}
		}
	}
	if e.status.Next.IsZero() {
		e.status.Next = sched.Next(s.o.Now())
	}
	if err := save(s.o.Dir, e.document()); err != nil {
		return err
	}
	s.start(e)
	return nil
}

// start replaces the entry of the same name and runs the new one; s.mu is held.
func (s *Scheduler) start(e *entry) {
	if old := s.jobs[e.job.Name]; old != nil {
		close(old.changed)
	}
	e.changed = make(chan struct{})
	s.jobs[e.job.Name] = e
	s.work.Go(func() { s.keep(e) })
}

// Get returns one job and how it fares, or ErrNotFound.
func (s *Scheduler) Get(name string) (Job, Status, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.jobs[name]
	if e == nil {
		return Job{}, Status{}, fmt.Errorf("%w: %q", ErrNotFound, name)
	}
	return e.job, e.status, nil
}

// List returns all jobs, by name.
func (s *Scheduler) List() []Document {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Document, 0, len(s.jobs))
	for _, e := range s.jobs {
		out = append(out, e.document())
	}
	slices.SortFunc(out, func(a, b Document) int { return compareNames(a.Job.Name, b.Job.Name) })
	return out
}

// Delete removes the job, or returns ErrNotFound. A run under way ends first.
func (s *Scheduler) Delete(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.jobs[name]
	if e == nil {
		return fmt.Errorf("%w: %q", ErrNotFound, name)
	}
	if err := erase(s.o.Dir, name); err != nil {
		return err
	}
	close(e.changed)
	delete(s.jobs, name)
	return nil
}

// Pause stops a job's schedule; Run still runs it. Resume starts it again, from
// then on: what was missed while paused is not made up for.
func (s *Scheduler) Pause(name string) error { return s.setPaused(name, true) }

// Resume ends a Pause.
func (s *Scheduler) Resume(name string) error { return s.setPaused(name, false) }

func (s *Scheduler) setPaused(name string, paused bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.jobs[name]
	if old == nil {
		return fmt.Errorf("%w: %q", ErrNotFound, name)
	}
	e := &entry{job: old.job, schedule: old.schedule, status: old.status}
	e.job.Paused = paused
	if !paused {
		e.status.Next = e.schedule.Next(s.o.Now())
	}
	if err := save(s.o.Dir, e.document()); err != nil {
		return err
	}
	s.start(e)
	return nil
}

// Run runs a job now, as well as on its schedule, and returns the outcome of
// its last attempt.
func (s *Scheduler) Run(ctx context.Context, name string) error {
	s.mu.Lock()
	e := s.jobs[name]
	s.mu.Unlock()
	if e == nil {
		return fmt.Errorf("%w: %q", ErrNotFound, name)
	}
	return s.runOnce(ctx, e)
}

// Close stops all jobs; requests under way are cut off.
func (s *Scheduler) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.stop()
	s.work.Wait()
	return nil
}
