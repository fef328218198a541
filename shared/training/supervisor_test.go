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

// platform starts executions in its memory. refuse is returned by Start.
type platform struct {
	refuse  error
	started []string
	states  map[string]job.State
}

func (p *platform) Start(_ context.Context, s job.Spec) (string, error) {
	if p.refuse != nil {
		return "", p.refuse
	}
	p.started = append(p.started, s.Job+" "+strings.Join(s.Args, " "))
	name := fmt.Sprint("x", len(p.started))
	p.states[name] = job.Running
	return name, nil
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
	s := &supervised{platform: &platform{states: map[string]job.State{}}, now: noon}
	now := func() time.Time { return s.now }
	s.book = training.NewBook(blobmem.New("models"), now)
	s.Supervisor = training.NewSupervisor(s.book, s.platform, "litter-trainer", training.Policy{Attempts: 2}, now)
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
	s = supervise(t)
	s.platform.refuse = errs.Permanentf("no-job", "there is no job trainer")
	var died *training.Died
	if err := s.Ensure(t.Context()); !errors.As(err, &died) {
		t.Errorf("a job that can never be started: %v", err)
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
