package training

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/job"
	"github.com/litterloop/litterloop/shared/telemetry"
)

// confirmWithin is how long a claimed launch may go without news of its job
// before it is taken for never started. Starting twice is harmless (see
// Launch), so this only has to exceed the usual start.
const confirmWithin = 10 * time.Second

// Policy is what people may tune.
type Policy struct {
	// Attempts is how many executions of a training's job may die before the
	// training fails. Each goes on from the last checkpoint.
	Attempts int `json:"attempts" yaml:"attempts"`
}

// DefaultPolicy survives two lost machines.
func DefaultPolicy() Policy { return Policy{Attempts: 3} }

// Validate reports every fault of the policy.
func (p Policy) Validate() error {
	if p.Attempts < 1 || p.Attempts > 20 {
		return fmt.Errorf("training.attempts %d: use 1 to 20", p.Attempts)
	}
	return nil
}

// Supervisor keeps the job of the training in flight running.
type Supervisor struct {
	book     *Book
	launcher job.Launcher
	job      string
	policy   Policy
	now      func() time.Time
}

// NewSupervisor returns a supervisor of the book's trainings. trainer is the name
// of the job that trains and evaluates; its arguments are the task, the run and
// the launch's number; see package training/job. Trainings by Ultralytics run in
// a job of their own, whose name ends in -ultralytics: another container, and
// often another machine.
func NewSupervisor(b *Book, l job.Launcher, trainer string, p Policy, now func() time.Time) *Supervisor {
	return &Supervisor{book: b, launcher: l, job: trainer, policy: p, now: now}
}

// ErrLaunching says that another caller is starting the job right now; the
// event is to be delivered again, to see whether it did.
var ErrLaunching = fmt.Errorf("the job is being started: %w", errs.Unavailable)

// Died says that a training's job died as often as the policy allows, or can't
// be started at all.
type Died struct {
	Training Training
	Reason   string
}

func (d *Died) Error() string { return fmt.Sprintf("training %s: %s", d.Training.Run, d.Reason) }

// Ensure sees to it that the training in flight, if there is one, has a job: it
// starts the first, notices one that died and starts it again. It returns *Died
// when the training is to be given up. Any other error is transient.
func (s *Supervisor) Ensure(ctx context.Context) error {
	t, err := s.book.Current(ctx)
	if errors.Is(err, errs.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	l := t.Launch
	switch {
	case l.Number == 0:
		return s.launch(ctx, t, Launch{Task: Train})
	case l.Execution != "":
		return s.inspect(ctx, t)
	case !l.Adopted.IsZero():
		return nil // at work, though its launcher died before it noted the execution
	case s.now().Sub(l.Claimed) > confirmWithin:
		return s.launch(ctx, t, Launch{Task: l.Task, Failures: l.Failures})
	default:
		return ErrLaunching
	}
}

// Evaluate has the model of the training in flight measured again, unless such
// a job is under way.
func (s *Supervisor) Evaluate(ctx context.Context, run string) error {
	t, err := s.book.Current(ctx)
	if err != nil || t.Run != run {
		return err
	}
	if l := t.Launch; l.Task == Evaluate {
		if l.Execution == "" {
			return s.Ensure(ctx)
		}
		state, _, err := s.launcher.State(ctx, l.Execution)
		if err != nil {
			return fmt.Errorf("state of execution %s: %w", l.Execution, err)
		}
		if state != job.Succeeded {
			return s.Ensure(ctx)
		}
	}
	return s.launch(ctx, t, Launch{Task: Evaluate})
}

// inspect asks the platform what became of the job.
func (s *Supervisor) inspect(ctx context.Context, t Training) error {
	state, detail, err := s.launcher.State(ctx, t.Launch.Execution)
	if err != nil {
		return fmt.Errorf("state of execution %s of training %s: %w", t.Launch.Execution, t.Run, err)
	}
	if state != job.Failed && state != job.Lost {
		return nil
	}
	failures := t.Launch.Failures + 1
	if failures >= s.policy.Attempts {
		return &Died{t, fmt.Sprintf("execution %s %s: %s; it was the last of %d attempts%s", t.Launch.Execution, state, detail, failures, cause(t.Launch.Said, detail))}
	}
	return s.launch(ctx, t, Launch{Task: t.Launch.Task, Failures: failures})
}

// cause is what is known of a death beside its exit status: what the job said, or,
// where it was killed and could say nothing, what kills jobs.
func cause(said, detail string) string {
	if said != "" {
		return ". It said: " + said
	}
	for _, sign := range []string{"137", "signal: killed", "SIGKILL", "emory"} {
		if strings.Contains(detail, sign) {
			return ". It was killed, most likely for its memory: lower train.recipe's image_size or batch_size, or give the training job more memory"
		}
	}
	return ""
}

func (s *Supervisor) launch(ctx context.Context, t Training, next Launch) error {
	l, ok, err := s.book.claim(ctx, t.Run, t.Launch, next)
	if err != nil {
		return err
	}
	if !ok {
		return ErrLaunching
	}
	execution, err := s.launcher.Start(ctx, job.Spec{
		Job:  s.jobOf(t),
		Args: []string{string(l.Task), "--run", t.Run, "--launch", strconv.Itoa(l.Number)},
		// Whoever notices that a job died, its work belongs to the trace it began in.
		Env: telemetry.Environ(telemetry.Continue(ctx, map[string]string{telemetry.Traceparent: t.Trace})),
	})
	if err == nil {
		return s.book.launched(ctx, t.Run, l.Number, execution)
	}
	err = fmt.Errorf("start job %s for training %s: %w", s.jobOf(t), t.Run, err)
	if _, permanent := errs.Reason(err); permanent {
		return &Died{t, err.Error()}
	}
	return errors.Join(err, s.book.launched(ctx, t.Run, l.Number, ""))
}

// jobOf is the job that a training runs in.
func (s *Supervisor) jobOf(t Training) string {
	if RecipeName(t.Recipe) == Ultralytics {
		return s.job + "-" + Ultralytics
	}
	return s.job
}
