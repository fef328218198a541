// Package job is the port to whatever runs long work outside a function: Cloud
// Run jobs, in the cloud and as processes of the local cloud, and Vertex AI's
// custom jobs.
package job

import (
	"context"

	"github.com/litterloop/litterloop/shared/errs"
)

// Spec is one execution of a job.
type Spec struct {
	Job  string            // the job's name: "trainer"
	ID   string            // tells this launch from every other of the job: lower-case letters, digits and dashes, at most 63
	Args []string          // replace the container's arguments
	Env  map[string]string // added to the job's environment
}

// IDEnv is the variable that tells an execution the ID of its Spec.
const IDEnv = "LITTERLOOP_LAUNCH"

// State of an execution.
type State string

// States of an execution. Failed includes one whose time was up. Cancelled is
// the wish of somebody. Lost means that the platform no longer knows it.
const (
	Running   State = "running" // or waiting for a machine
	Succeeded State = "succeeded"
	Failed    State = "failed"
	Cancelled State = "cancelled"
	Lost      State = "lost"
)

// Codes of the permanent errors of Start.
const (
	CodeMissing errs.Code = "job-missing" // nothing by the job's name is declared
	CodeRefused errs.Code = "job-refused" // the platform does not take such a job
)

// Launcher starts executions and tells what became of them. Package jobtest
// holds every implementation to the contract.
type Launcher interface {
	// Start starts an execution and returns its name. It is not idempotent:
	// callers guard it with a compare-and-swap of their own, and after an error
	// that is not permanent ask Find whether an execution started all the same.
	// A permanent error says that none did and none will.
	Start(ctx context.Context, s Spec) (execution string, err error)
	// Find returns the execution of a spec's job that bears its ID; errs.NotFound
	// when the platform knows none.
	Find(ctx context.Context, s Spec) (execution string, err error)
	// State tells what became of an execution and, where it is neither running
	// nor succeeded, why. What the platform does not know is Lost and no error.
	State(ctx context.Context, execution string) (state State, why string, err error)
	// Cancel asks an execution to end and does not wait for it. One that has ended
	// already is no error; one that is unknown is errs.NotFound.
	Cancel(ctx context.Context, execution string) error
}
