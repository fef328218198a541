// Package jobtest is the contract of job.Launcher as tests, for every platform.
package jobtest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/job"
)

// What the containers of the jobs do is their first argument.
const (
	Succeed = "succeed"
	Fail    = "fail"
	Stay    = "stay" // until they are told to end, or their time is up
)

// Jobs that the platform has. Brief ends its containers almost at once; Missing
// is not declared.
const (
	Trainer = "trainer"
	Brief   = "brief"
	Missing = "missing-ultralytics"
)

// Platform is a platform under test. Every test gets one of its own.
type Platform struct {
	job.Launcher
	// Fault makes the next call fail with code; done says that it takes effect
	// all the same, and only its answer is lost.
	Fault func(code codes.Code, done bool)
	// Started counts the executions that the platform has begun.
	Started func() int
	// Given is what the container of a launch got.
	Given func(id string) (args []string, env map[string]string)
	// Delete makes the platform forget an execution.
	Delete func(execution string)
	// Unknown names an execution that never was.
	Unknown string
}

// Run holds a platform to the contract.
func Run(t *testing.T, open func(t *testing.T) Platform) {
	t.Run("arguments and environment reach the container", func(t *testing.T) {
		t.Parallel()
		p := open(t)
		s := spec(Trainer, "run7-1", Succeed, "--run", "run7")
		s.Env = map[string]string{"TRACEPARENT": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
		ended(t, p, start(t, p, s))
		args, env := p.Given("run7-1")
		if !slices.Equal(args, s.Args) || env["TRACEPARENT"] != s.Env["TRACEPARENT"] || env[job.IDEnv] != "run7-1" {
			t.Errorf("given %q and %q", args, env)
		}
	})
	t.Run("what became of executions", func(t *testing.T) {
		t.Parallel()
		for name, test := range map[string]struct {
			spec   job.Spec
			cancel bool
			want   job.State
			why    string
		}{
			"succeeds":       {spec: spec(Trainer, "a-1", Succeed), want: job.Succeeded},
			"fails":          {spec: spec(Trainer, "a-2", Fail), want: job.Failed, why: "exit"},
			"is cancelled":   {spec: spec(Trainer, "a-3", Stay), cancel: true, want: job.Cancelled, why: "cancel"},
			"its time is up": {spec: spec(Brief, "a-4", Stay), want: job.Failed, why: "time"},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				p := open(t)
				e := start(t, p, test.spec)
				if test.cancel {
					if state, why, err := p.State(t.Context(), e); state != job.Running || why != "" || err != nil {
						t.Errorf("before: %s, %q, %v", state, why, err)
					}
					if err := p.Cancel(t.Context(), e); err != nil {
						t.Fatal(err)
					}
				}
				state, why := ended(t, p, e)
				if state != test.want || !strings.Contains(strings.ToLower(why), test.why) || (why == "") != (state == job.Succeeded) {
					t.Errorf("ended %s: %q; want %s: %q", state, why, test.want, test.why)
				}
				if err := p.Cancel(t.Context(), e); err != nil {
					t.Errorf("cancelling what has ended: %v", err)
				}
				if again, _, err := p.State(t.Context(), e); again != state || err != nil {
					t.Errorf("afterwards %s, %v", again, err)
				}
			})
		}
	})
	t.Run("an execution is found by its launch", func(t *testing.T) {
		t.Parallel()
		p := open(t)
		if _, err := p.Find(t.Context(), spec(Trainer, "b-1", Stay)); !errors.Is(err, errs.NotFound) {
			t.Errorf("before there is one: %v", err)
		}
		want := map[string]string{}
		for _, id := range []string{"b-1", "b-2", "b-11"} {
			want[id] = start(t, p, spec(Trainer, id, Stay))
		}
		for id, e := range want {
			if got, err := p.Find(t.Context(), spec(Trainer, id, Stay)); got != e || err != nil {
				t.Errorf("launch %s: %s, %v; want %s", id, got, err, e)
			}
		}
		if e, err := p.Find(t.Context(), spec(Trainer, "b-3", Stay)); !errors.Is(err, errs.NotFound) {
			t.Errorf("a launch that never was: %s, %v", e, err)
		}
	})
	t.Run("a start whose answer is lost is found", func(t *testing.T) {
		t.Parallel()
		for _, code := range []codes.Code{codes.DeadlineExceeded, codes.Unavailable, codes.Aborted} {
			p := open(t)
			p.Fault(code, true)
			s := spec(Trainer, "c-1", Stay)
			e, err := p.Start(t.Context(), s)
			if _, permanent := errs.Reason(err); err == nil || permanent || e != "" {
				t.Errorf("%s: %q, %v", code, e, err)
			}
			found, err := p.Find(t.Context(), s)
			if err != nil || p.Started() != 1 {
				t.Fatalf("%s: found %q, %v; %d started", code, found, err, p.Started())
			}
			if state, _, err := p.State(t.Context(), found); state != job.Running || err != nil {
				t.Errorf("%s: %s, %v", code, state, err)
			}
		}
	})
	t.Run("a refused start", func(t *testing.T) {
		t.Parallel()
		for code, test := range map[codes.Code]struct {
			permanent errs.Code
			is        error
			says      string
		}{
			codes.Unavailable:       {is: errs.Unavailable},
			codes.DeadlineExceeded:  {is: errs.Unavailable},
			codes.Aborted:           {is: errs.Conflict},
			codes.ResourceExhausted: {is: errs.Unavailable, says: "quota"},
			codes.PermissionDenied:  {says: "roles/"},
			codes.InvalidArgument:   {permanent: job.CodeRefused, says: "terraform apply"},
			codes.NotFound:          {permanent: job.CodeMissing, says: "terraform apply"},
		} {
			p := open(t)
			p.Fault(code, false)
			_, err := p.Start(t.Context(), spec(Trainer, "d-1", Stay))
			reason, _ := errs.Reason(err)
			if err == nil || reason != test.permanent || !strings.Contains(err.Error(), test.says) || !strings.Contains(err.Error(), Trainer) || test.is != nil && !errors.Is(err, test.is) {
				t.Errorf("%s: %q, %v", code, reason, err)
			}
			if _, err := p.Find(t.Context(), spec(Trainer, "d-1", Stay)); !errors.Is(err, errs.NotFound) || p.Started() != 0 {
				t.Errorf("%s: %d started, %v", code, p.Started(), err)
			}
		}
	})
	t.Run("a platform that is away knows nothing", func(t *testing.T) {
		t.Parallel()
		p := open(t)
		e := start(t, p, spec(Trainer, "e-1", Stay))
		for name, call := range map[string]func() error{
			"Find":   func() error { _, err := p.Find(t.Context(), spec(Trainer, "e-1", Stay)); return err },
			"State":  func() error { _, _, err := p.State(t.Context(), e); return err },
			"Cancel": func() error { return p.Cancel(t.Context(), e) },
		} {
			p.Fault(codes.Unavailable, false)
			if err := call(); !errors.Is(err, errs.Unavailable) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
	t.Run("a job that is not declared", func(t *testing.T) {
		t.Parallel()
		p := open(t)
		s := spec(Missing, "f-1", Succeed)
		if _, err := p.Find(t.Context(), s); !errors.Is(err, errs.NotFound) {
			t.Errorf("Find: %v", err)
		}
		_, err := p.Start(t.Context(), s)
		if code, _ := errs.Reason(err); code != job.CodeMissing || !strings.Contains(err.Error(), Missing) || !strings.Contains(err.Error(), "`terraform apply` with the setting `ultralytics`") {
			t.Errorf("Start: %v", err)
		}
	})
	t.Run("an execution that the platform does not know", func(t *testing.T) {
		t.Parallel()
		p := open(t)
		gone := start(t, p, spec(Trainer, "g-1", Stay))
		p.Delete(gone)
		for _, e := range []string{gone, p.Unknown} {
			if state, why, err := p.State(t.Context(), e); state != job.Lost || why == "" || err != nil {
				t.Errorf("State of %s: %s, %q, %v", e, state, why, err)
			}
			if err := p.Cancel(t.Context(), e); !errors.Is(err, errs.NotFound) {
				t.Errorf("Cancel of %s: %v", e, err)
			}
		}
		if e, err := p.Find(t.Context(), spec(Trainer, "g-1", Stay)); !errors.Is(err, errs.NotFound) {
			t.Errorf("Find: %s, %v", e, err)
		}
	})
}

func spec(of, id string, args ...string) job.Spec { return job.Spec{Job: of, ID: id, Args: args} }

func start(t *testing.T, p Platform, s job.Spec) string {
	t.Helper()
	e, err := p.Start(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// ended polls until the execution is no longer running.
func ended(t *testing.T, p Platform, execution string) (job.State, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		state, why, err := p.State(ctx, execution)
		if err != nil {
			t.Fatal(err)
		}
		if state != job.Running {
			return state, why
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%s never ends", execution)
		}
	}
}
