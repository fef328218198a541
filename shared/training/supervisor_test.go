package training_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/litterloop/litterloop/shared/blob/blobmem"
	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/job"
	"github.com/litterloop/litterloop/shared/training"
)

// platform starts executions in its memory. refuse is returned by Start, which
// starts one all the same when answers get lost.
type platform struct {
	refuse  error
	lost    bool
	started []string
	ids     map[string]string // executions by the launch's ID
	states  map[string]job.State
}

func (p *platform) Start(_ context.Context, s job.Spec) (string, error) {
	if p.refuse != nil && !p.lost {
		return "", p.refuse
	}
	p.started = append(p.started, s.Job+" "+strings.Join(s.Args, " "))
	name := fmt.Sprint("x", len(p.started))
	p.states[name], p.ids[s.ID] = job.Running, name
	if p.lost {
		return "", p.refuse
	}
	return name, nil
}

func (p *platform) Find(_ context.Context, s job.Spec) (string, error) {
	if name := p.ids[s.ID]; name != "" {
		return name, nil
	}
	return "", errs.NotFound
}

func (p *platform) State(_ context.Context, name string) (job.State, string, error) {
	return p.states[name], "exit status 137", nil
}

func (p *platform) Cancel(context.Context, string) error { return nil }

// supervised is a training in flight under a supervisor on a clock of its own.
type supervised struct {
	*training.Supervisor
	book     *training.Book
	platform *platform
	run      string
	now      time.Time
}

func supervise(t *testing.T) *supervised {
	t.Helper()
	s := &supervised{platform: &platform{states: map[string]job.State{}, ids: map[string]string{}}, now: noon}
	now := func() time.Time { return s.now }
	s.book = training.NewBook(blobmem.New("models"), now)
	s.Supervisor = training.NewSupervisor(s.book, s.platform, "litter-trainer", training.Policy{Attempts: 2, StartWithin: time.Hour}, now)
	x := request(t, "d1", "")
	begin(t, s.book, x)
	s.run = x.Run
	return s
}

func (s *supervised) ensure(t *testing.T) {
	t.Helper()
	if err := s.Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestEnsure_startsOneJob(t *testing.T) {
	s := supervise(t)
	for range 3 {
		s.ensure(t)
	}
	want := []string{"litter-trainer train --run " + s.run + " --launch 1"}
	if diff := cmp.Diff(want, s.platform.started); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if x, err := s.book.Current(t.Context()); err != nil || x.Execution != "x1" {
		t.Errorf("execution %q, %v", x.Execution, err)
	}
}

func TestEnsure_startsADeadJobAgainUntilItsAttemptsAreUsed(t *testing.T) {
	s := supervise(t)
	s.ensure(t)
	s.platform.states["x1"] = job.Lost
	s.ensure(t)
	s.ensure(t)
	if len(s.platform.started) != 2 {
		t.Fatalf("started %v", s.platform.started)
	}
	if _, err := s.book.Adopt(t.Context(), s.run, 1, "x1"); !superseded(err) {
		t.Errorf("the lost job comes back and works: %v", err)
	}
	for range 2 { // the platform runs the same execution again
		if _, err := s.book.Adopt(t.Context(), s.run, 2, "x2"); err != nil {
			t.Error(err)
		}
	}
	s.platform.states["x2"] = job.Failed
	var died *training.Died
	if err := s.Ensure(t.Context()); !errors.As(err, &died) || !strings.Contains(died.Reason, "exit status 137") || !strings.Contains(died.Reason, "memory") {
		t.Errorf("after the last attempt: %v", err)
	}
	if err := s.book.Finish(t.Context(), s.run, training.Failed, 0, died.Reason); err != nil {
		t.Fatal(err)
	}
	if _, err := s.book.Adopt(t.Context(), s.run, 2, "x2"); !superseded(err) {
		t.Errorf("a job works on a training that ended: %v", err)
	}
	s.ensure(t)
}

func TestEnsure_startThatFails(t *testing.T) {
	s := supervise(t)
	s.platform.refuse = errs.Unavailable
	if err := s.Ensure(t.Context()); !errors.Is(err, errs.Unavailable) {
		t.Fatal(err)
	}
	s.platform.refuse = nil
	s.ensure(t) // at once: the claim was given back
	if diff := cmp.Diff([]string{"litter-trainer train --run " + s.run + " --launch 2"}, s.platform.started); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestEnsure_jobThatCanNeverBeStarted(t *testing.T) {
	s := supervise(t)
	s.platform.refuse = errs.Permanentf("no-job", "there is no job trainer")
	var died *training.Died
	if err := s.Ensure(t.Context()); !errors.As(err, &died) || !strings.Contains(died.Reason, "no job trainer") {
		t.Errorf("%v", err)
	}
}

// A start whose answer was lost is not repeated, whether its job has begun to
// work or not, and the execution is watched as any other.
func TestEnsure_startWhoseAnswerIsLost(t *testing.T) {
	for name, test := range map[string]struct {
		adopt     bool
		execution string // that the job knows itself by
	}{
		"the machine is not there yet":     {},
		"the job works":                    {adopt: true},
		"the job works and knows its name": {adopt: true, execution: "x1"},
	} {
		t.Run(name, func(t *testing.T) {
			s := supervise(t)
			s.platform.refuse, s.platform.lost = errs.Unavailable, true
			if err := s.Ensure(t.Context()); !errors.Is(err, errs.Unavailable) {
				t.Fatal(err)
			}
			s.platform.refuse, s.platform.lost = nil, false
			if test.adopt {
				if _, err := s.book.Adopt(t.Context(), s.run, 1, test.execution); err != nil {
					t.Fatal(err)
				}
			}
			for range 3 {
				s.ensure(t)
			}
			if x, err := s.book.Current(t.Context()); err != nil || x.Execution != "x1" || len(s.platform.started) != 1 {
				t.Errorf("execution %q of %v, %v", x.Execution, s.platform.started, err)
			}
			s.platform.states["x1"] = job.Lost
			s.ensure(t)
			if len(s.platform.started) != 2 {
				t.Errorf("the execution is lost and nobody noticed: started %v", s.platform.started)
			}
		})
	}
}

// What is cancelled stays cancelled.
func TestEnsure_cancelledIsNotStartedAgain(t *testing.T) {
	s := supervise(t)
	s.ensure(t)
	s.platform.states["x1"] = job.Cancelled
	var died *training.Died
	if err := s.Ensure(t.Context()); !errors.As(err, &died) || !strings.Contains(died.Reason, "x1 was cancelled") || len(s.platform.started) != 1 {
		t.Errorf("%v; started %v", err, s.platform.started)
	}
}

// A platform that refuses for long is given up, with what it said.
func TestEnsure_quotaThatStaysUsedUp(t *testing.T) {
	s := supervise(t)
	s.platform.refuse = fmt.Errorf("no GPU left: %w", errs.Unavailable)
	var died *training.Died
	for range 12 {
		if err := s.Ensure(t.Context()); errors.As(err, &died) || !errors.Is(err, errs.Unavailable) {
			t.Fatalf("after %s: %v", s.now.Sub(noon), err)
		}
		s.now = s.now.Add(5 * time.Minute)
	}
	s.now = s.now.Add(time.Minute)
	if err := s.Ensure(t.Context()); !errors.As(err, &died) || !strings.Contains(died.Reason, "no GPU left") {
		t.Errorf("after %s: %v", s.now.Sub(noon), err)
	}
}

// An image that is not the trainer's may end well at once.
func TestEnsure_jobThatEndsWithoutHavingBegun(t *testing.T) {
	s := supervise(t)
	s.ensure(t)
	if _, err := s.book.Adopt(t.Context(), s.run, 1, "x1"); err != nil {
		t.Fatal(err)
	}
	s.platform.states["x1"] = job.Succeeded
	s.ensure(t)
	if len(s.platform.started) != 1 {
		t.Fatalf("a job that has done its work was started again: %v", s.platform.started)
	}
	s = supervise(t)
	for i := range 2 {
		s.ensure(t)
		s.platform.states[fmt.Sprint("x", i+1)] = job.Succeeded
	}
	var died *training.Died
	if err := s.Ensure(t.Context()); !errors.As(err, &died) || !strings.Contains(died.Reason, "image") {
		t.Errorf("%v", err)
	}
}

func TestEvaluate_startsOneJobAtATime(t *testing.T) {
	s := supervise(t)
	s.ensure(t)
	s.platform.states["x1"] = job.Succeeded
	for range 3 {
		if err := s.Evaluate(t.Context(), s.run); err != nil {
			t.Fatal(err)
		}
	}
	s.platform.states["x2"] = job.Failed // dies: it is an evaluation that starts again
	if err := s.Evaluate(t.Context(), s.run); err != nil {
		t.Fatal(err)
	}
	s.platform.states["x3"] = job.Succeeded // measured, but the evidence is stale once more
	if err := s.Evaluate(t.Context(), s.run); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"litter-trainer train --run " + s.run + " --launch 1",
		"litter-trainer evaluate --run " + s.run + " --launch 2",
		"litter-trainer evaluate --run " + s.run + " --launch 3",
		"litter-trainer evaluate --run " + s.run + " --launch 4",
	}
	if diff := cmp.Diff(want, s.platform.started); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestPolicy_Validate(t *testing.T) {
	if err := training.DefaultPolicy().Validate(); err != nil {
		t.Error(err)
	}
	if (training.Policy{}).Validate() == nil {
		t.Error("no attempts at all were taken")
	}
}

func superseded(err error) bool {
	code, ok := errs.Reason(err)
	return ok && code == training.CodeSuperseded
}
