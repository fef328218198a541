package training

import (
	"cmp"
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
	// StartWithin is how long the platform may refuse to start a training's job,
	// for want of quota or of a right, before the training fails.
	StartWithin time.Duration `json:"start_within" yaml:"start_within"`
}

// DefaultPolicy survives two lost machines, and a quota that is used up for
// half a day.
func DefaultPolicy() Policy { return Policy{Attempts: 3, StartWithin: 12 * time.Hour} }

// Validate reports every fault of the policy.
func (p Policy) Validate() error {
	var faults []error
	if p.Attempts < 1 || p.Attempts > 20 {
		faults = append(faults, fmt.Errorf("attempts %d: use 1 to 20", p.Attempts))
	}
	if p.StartWithin < time.Minute {
		faults = append(faults, fmt.Errorf("start_within %s: use 1m or more", p.StartWithin))
	}
	return errors.Join(faults...)
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
	switch l := t.Launch; {
	case l.Number == 0:
		return s.launch(ctx, t, Launch{Task: Train, Since: s.now().UTC()})
	case l.Execution != "":
		return s.inspect(ctx, t)
	case l.Adopted.IsZero() && s.now().Sub(l.Claimed) <= confirmWithin:
		return ErrLaunching
	default:
		return s.confirm(ctx, t)
	}
}

// confirm sees whether a launch whose start was not answered did start a job: an
// answer can be lost. If it did not, the job is started once more.
func (s *Supervisor) confirm(ctx context.Context, t Training) error {
	l := t.Launch
	execution, err := s.launcher.Find(ctx, s.spec(ctx, t, l))
	since := cmp.Or(l.Since, s.now().UTC())
	switch {
	case err == nil:
		return s.book.launched(ctx, t.Run, l.Number, execution)
	case !l.Adopted.IsZero():
		return nil // at work, though the platform does not tell of it yet
	case s.now().Sub(since) > s.policy.StartWithin:
		return &Died{t, fmt.Sprintf("job %s could not be started for %s: %s", s.jobOf(t), s.policy.StartWithin, cmp.Or(l.Refusal, err.Error()))}
	case !errors.Is(err, errs.NotFound):
		return err
	}
	return s.launch(ctx, t, Launch{Task: l.Task, Failures: l.Failures, Since: since, Refusal: l.Refusal})
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
	return s.launch(ctx, t, Launch{Task: Evaluate, Since: s.now().UTC()})
}

// inspect asks the platform what became of the job.
func (s *Supervisor) inspect(ctx context.Context, t Training) error {
	state, why, err := s.launcher.State(ctx, t.Launch.Execution)
	if err != nil {
		return fmt.Errorf("state of execution %s of training %s: %w", t.Launch.Execution, t.Run, err)
	}
	switch state {
	case job.Running:
		return nil
	case job.Cancelled: // whoever did that does not want it started again
		return &Died{t, fmt.Sprintf("execution %s was cancelled: %s", t.Launch.Execution, why)}
	case job.Succeeded:
		if idle, err := s.idle(ctx, t); err != nil || !idle {
			return err
		}
		why = "it ended well without having begun; is its image the trainer's?"
	}
	failures := t.Launch.Failures + 1
	if failures >= s.policy.Attempts {
		return &Died{t, fmt.Sprintf("execution %s %s: %s; it was the last of %d attempts%s", t.Launch.Execution, state, why, failures, cause(t.Launch.Said, why))}
	}
	return s.launch(ctx, t, Launch{Task: t.Launch.Task, Failures: failures, Since: s.now().UTC()})
}

// idle tells whether the job of a launch, which has ended, never began to work.
// The book is read again: t may be older than the job's end.
func (s *Supervisor) idle(ctx context.Context, t Training) (bool, error) {
	if !t.Launch.Adopted.IsZero() {
		return false, nil
	}
	now, err := s.book.Current(ctx)
	if errors.Is(err, errs.NotFound) {
		return false, nil
	}
	return err == nil && now.Run == t.Run && now.Launch.equal(t.Launch), err
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
	execution, err := s.launcher.Start(ctx, s.spec(ctx, t, l))
	if err == nil {
		return s.book.launched(ctx, t.Run, l.Number, execution)
	}
	err = fmt.Errorf("training %s: %w", t.Run, err)
	if _, permanent := errs.Reason(err); permanent {
		return &Died{t, err.Error()}
	}
	return errors.Join(err, s.book.refused(ctx, t.Run, l.Number, err.Error()))
}

// spec is the execution of a launch.
func (s *Supervisor) spec(ctx context.Context, t Training, l Launch) job.Spec {
	return job.Spec{
		Job:  s.jobOf(t),
		ID:   t.Run + "-" + strconv.Itoa(l.Number),
		Args: []string{string(l.Task), "--run", t.Run, "--launch", strconv.Itoa(l.Number)},
		// Whoever notices that a job died, its work belongs to the trace it began in.
		Env: telemetry.Environ(telemetry.Continue(ctx, map[string]string{telemetry.Traceparent: t.Trace})),
	}
}

// jobOf is the job that a training runs in.
func (s *Supervisor) jobOf(t Training) string {
	if RecipeName(t.Recipe) == Ultralytics {
		return s.job + "-" + Ultralytics
	}
	return s.job
}
