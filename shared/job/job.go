// Package job is the port to whatever runs long work outside a function: Cloud
// Run jobs, in the cloud and on the local cloud.
package job

import "context"

// Spec is one execution of a job.
type Spec struct {
	Job  string            // the job's name: "trainer"
	Args []string          // replace the container's arguments
	Env  map[string]string // added to the job's environment
}

// State of an execution.
type State string

// States of an execution. Lost means that the platform no longer knows it.
const (
	Running   State = "running"
	Succeeded State = "succeeded"
	Failed    State = "failed"
	Lost      State = "lost"
)

// Launcher starts executions and tells what became of them. Start is not
// idempotent: callers guard it with a compare-and-swap of their own.
type Launcher interface {
	Start(ctx context.Context, s Spec) (execution string, err error)
	State(ctx context.Context, execution string) (State, string, error)
	Cancel(ctx context.Context, execution string) error
}
