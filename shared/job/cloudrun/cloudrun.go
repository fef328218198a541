// Package cloudrun is the adapter of job.Launcher over Cloud Run jobs. The jobs
// themselves are declared elsewhere; it starts, watches and cancels executions.
package cloudrun

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	run "cloud.google.com/go/run/apiv2"
	"cloud.google.com/go/run/apiv2/runpb"
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
// is in the execution's environment, unless s.Env holds one. A job that
// does not exist is errs.NotFound. After errs.Unavailable an execution may have
// started all the same.
func (l *Launcher) Start(ctx context.Context, s job.Spec) (execution string, err error) {
	defer errs.Wrap(&err, "start job %s", s.Job)
	override := &runpb.RunJobRequest_Overrides_ContainerOverride{Args: s.Args}
	env := telemetry.Environ(ctx)
	maps.Copy(env, s.Env)
	for _, name := range slices.Sorted(maps.Keys(env)) {
		override.Env = append(override.Env, &runpb.EnvVar{Name: name, Values: &runpb.EnvVar_Value{Value: env[name]}})
	}
	op, err := l.jobs.RunJob(ctx, &runpb.RunJobRequest{
		Name:      l.parent + "/jobs/" + s.Job,
		Overrides: &runpb.RunJobRequest_Overrides{ContainerOverrides: []*runpb.RunJobRequest_Overrides_ContainerOverride{override}},
	})
	if err != nil {
		return "", translate(err)
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

// State tells what became of an execution, and why it failed.
func (l *Launcher) State(ctx context.Context, execution string) (job.State, string, error) {
	e, err := l.executions.GetExecution(ctx, &runpb.GetExecutionRequest{Name: execution})
	if status.Code(err) == codes.NotFound {
		return job.Lost, "Cloud Run no longer knows the execution", nil
	}
	if err != nil {
		return "", "", fmt.Errorf("state of execution %s: %w", execution, translate(err))
	}
	switch {
	case e.CompletionTime == nil:
		return job.Running, "", nil
	case e.SucceededCount > 0 && e.FailedCount == 0 && e.CancelledCount == 0:
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

// Cancel asks the execution to end and does not wait for it. One that has ended
// already is no error; one that is unknown is errs.NotFound.
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
