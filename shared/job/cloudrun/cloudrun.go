// Package cloudrun is the adapter of job.Launcher over Cloud Run jobs. The jobs
// themselves are declared elsewhere; it starts, finds, watches and cancels
// executions.
package cloudrun

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	run "cloud.google.com/go/run/apiv2"
	"cloud.google.com/go/run/apiv2/runpb"
	"google.golang.org/api/iterator"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/job"
	"github.com/litterloop/litterloop/shared/telemetry"
)

// Launcher runs the jobs of one project and location.
type Launcher struct {
	jobs       *run.JobsClient
	executions *run.ExecutionsClient
	parent     string // projects/P/locations/L
}

var _ job.Launcher = (*Launcher)(nil)

// New returns a launcher of the jobs in parent, "projects/P/locations/L". The
// clients stay the caller's to close.
func New(jobs *run.JobsClient, executions *run.ExecutionsClient, parent string) *Launcher {
	return &Launcher{jobs, executions, parent}
}

// Start runs the job once and returns the execution's full name. The trace of ctx
// is in the execution's environment, unless s.Env holds one.
func (l *Launcher) Start(ctx context.Context, s job.Spec) (execution string, err error) {
	defer errs.Wrap(&err, "start job %s", s.Job)
	override := &runpb.RunJobRequest_Overrides_ContainerOverride{Args: s.Args}
	env := telemetry.Environ(ctx)
	maps.Copy(env, s.Env)
	// An execution has no label of its own, but shows the environment it was
	// started with: by it Find knows it.
	env[job.IDEnv] = s.ID
	for _, name := range slices.Sorted(maps.Keys(env)) {
		override.Env = append(override.Env, &runpb.EnvVar{Name: name, Values: &runpb.EnvVar_Value{Value: env[name]}})
	}
	op, err := l.jobs.RunJob(ctx, &runpb.RunJobRequest{
		Name:      l.job(s),
		Overrides: &runpb.RunJobRequest_Overrides{ContainerOverrides: []*runpb.RunJobRequest_Overrides_ContainerOverride{override}},
	})
	if err != nil {
		return "", l.refusal(s, err)
	}
	// The operation ends with the execution; its metadata has the name at once.
	e, err := op.Metadata()
	if err != nil {
		return "", err
	}
	if e.GetName() == "" {
		return "", fmt.Errorf("operation %s names no execution", op.Name())
	}
	return e.Name, nil
}

func (l *Launcher) job(s job.Spec) string { return l.parent + "/jobs/" + s.Job }

// Find implements job.Launcher.
func (l *Launcher) Find(ctx context.Context, s job.Spec) (string, error) {
	all := l.executions.ListExecutions(ctx, &runpb.ListExecutionsRequest{Parent: l.job(s), PageSize: 100})
	for {
		e, err := all.Next()
		if errors.Is(err, iterator.Done) {
			return "", fmt.Errorf("execution %s of job %s: %w", s.ID, s.Job, errs.NotFound)
		}
		if err != nil {
			return "", fmt.Errorf("find execution %s of job %s: %w", s.ID, s.Job, translate(err))
		}
		for _, c := range e.GetTemplate().GetContainers() {
			if slices.ContainsFunc(c.Env, func(v *runpb.EnvVar) bool { return v.Name == job.IDEnv && v.GetValue() == s.ID }) {
				return e.Name, nil
			}
		}
	}
}

// State implements job.Launcher.
func (l *Launcher) State(ctx context.Context, execution string) (job.State, string, error) {
	e, err := l.executions.GetExecution(ctx, &runpb.GetExecutionRequest{Name: execution})
	if status.Code(err) == codes.NotFound {
		return job.Lost, "Cloud Run no longer knows the execution", nil
	}
	if err != nil {
		return "", "", fmt.Errorf("state of execution %s: %w", execution, translate(err))
	}
	switch {
	case e.DeleteTime != nil:
		return job.Lost, "the execution was deleted", nil
	case e.CompletionTime == nil:
		return job.Running, "", nil
	case e.FailedCount > 0:
		return job.Failed, reason(e), nil
	case e.CancelledCount > 0:
		return job.Cancelled, reason(e), nil
	case e.SucceededCount > 0 && e.SucceededCount >= e.TaskCount:
		return job.Succeeded, "", nil
	}
	return job.Failed, reason(e), nil
}

// reason joins what the conditions say, and where the log is.
func reason(e *runpb.Execution) string {
	var out []string
	for _, c := range e.Conditions {
		if c.State == runpb.Condition_CONDITION_FAILED && c.Message != "" {
			out = append(out, c.Message)
		}
	}
	if e.LogUri != "" {
		out = append(out, "log: "+e.LogUri)
	}
	return strings.Join(out, "; ")
}

// Cancel implements job.Launcher.
func (l *Launcher) Cancel(ctx context.Context, execution string) error {
	_, err := l.executions.CancelExecution(ctx, &runpb.CancelExecutionRequest{Name: execution})
	if status.Code(err) == codes.FailedPrecondition { // it has ended
		return nil
	}
	if err != nil {
		return fmt.Errorf("cancel execution %s: %w", execution, translate(err))
	}
	return nil
}

// refusal says what mends a start that was refused.
func (l *Launcher) refusal(s job.Spec, err error) error {
	switch status.Code(err) {
	case codes.NotFound:
		setting := ""
		if strings.HasSuffix(s.Job, "-ultralytics") {
			setting = " with the setting `ultralytics`"
		}
		return errs.Permanentf(job.CodeMissing, "Cloud Run has no job %s: `terraform apply`%s makes it, or on this machine `litterloop up`: %w", l.job(s), setting, err)
	case codes.InvalidArgument:
		return errs.Permanentf(job.CodeRefused, "Cloud Run does not take job %s as it is declared: mend it and `terraform apply`: %w", l.job(s), err)
	case codes.PermissionDenied:
		// New grants take minutes to be in force, so this is worth repeating.
		return fmt.Errorf("this account may not run job %s: it needs roles/run.jobsExecutorWithOverrides on it, which `terraform apply` grants: %w", l.job(s), err)
	case codes.ResourceExhausted:
		return fmt.Errorf("the quota of job %s's location is used up: wait, or ask for more on the project's quota page: %w", l.job(s), translate(err))
	}
	return translate(err)
}

// translate gives gRPC's codes the port's meaning.
func translate(err error) error {
	switch status.Code(err) {
	case codes.NotFound:
		return fmt.Errorf("%w: %w", errs.NotFound, err)
	case codes.Aborted, codes.FailedPrecondition, codes.AlreadyExists:
		return fmt.Errorf("%w: %w", errs.Conflict, err)
	case codes.Unavailable, codes.ResourceExhausted, codes.DeadlineExceeded:
		return fmt.Errorf("%w: %w", errs.Unavailable, err)
	}
	return err
}
