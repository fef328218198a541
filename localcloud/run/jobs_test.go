package run_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"cloud.google.com/go/run/apiv2/runpb"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
)

// job declares a job "trainer" that runs the given arguments.
func (c *cloud) job(t *testing.T, maxRetries int32, args ...string) {
	t.Helper()
	op, err := c.jobs.CreateJob(t.Context(), &runpb.CreateJobRequest{
		Parent: parent, JobId: "trainer", Job: &runpb.Job{Template: &runpb.ExecutionTemplate{Template: &runpb.TaskTemplate{
			Retries: &runpb.TaskTemplate_MaxRetries{MaxRetries: maxRetries},
			Containers: []*runpb.Container{{
				Image: "job", Args: args, Env: []*runpb.EnvVar{{Name: "GREETING", Values: &runpb.EnvVar_Value{Value: "hello"}}},
			}},
		}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := op.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// run starts the job and returns the operation's and the execution's name.
func (c *cloud) run(t *testing.T, o *runpb.RunJobRequest_Overrides) (operation, execution string) {
	t.Helper()
	op, err := c.jobs.RunJob(t.Context(), &runpb.RunJobRequest{Name: parent + "/jobs/trainer", Overrides: o})
	if err != nil {
		t.Fatal(err)
	}
	e, err := op.Metadata()
	if err != nil {
		t.Fatal(err)
	}
	return op.Name(), e.Name
}

func (c *cloud) execution(t *testing.T, name string) *runpb.Execution {
	t.Helper()
	e, err := c.executions.GetExecution(t.Context(), &runpb.GetExecutionRequest{Name: name})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

type counts struct{ Succeeded, Failed, Cancelled, Retried int32 }

func count(e *runpb.Execution) counts {
	return counts{e.SucceededCount, e.FailedCount, e.CancelledCount, e.RetriedCount}
}

func TestRunJob(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		retries int32
		args    []string
		over    *runpb.RunJobRequest_Overrides
		want    counts
		logged  string
	}{
		"succeeds": {args: []string{"ok"}, want: counts{Succeeded: 1}, logged: "attempt 0 of trainer in trainer-"},
		"succeeds at the third attempt": {
			retries: 2, args: []string{"fail", "2"}, want: counts{Succeeded: 1, Retried: 2}, logged: "attempt 2",
		},
		"fails when retries are spent": {
			retries: 1, args: []string{"fail", "9"}, want: counts{Failed: 1, Retried: 1}, logged: "attempt 1",
		},
		"overridden arguments and environment": {
			args: []string{"fail", "9"},
			over: &runpb.RunJobRequest_Overrides{ContainerOverrides: []*runpb.RunJobRequest_Overrides_ContainerOverride{{
				Args: []string{"ok"}, Env: []*runpb.EnvVar{{Name: "GREETING", Values: &runpb.EnvVar_Value{Value: "bye"}}},
			}}},
			want: counts{Succeeded: 1}, logged: "GREETING=bye\n",
		},
		"takes too long": {
			args: []string{"block", "9"}, over: &runpb.RunJobRequest_Overrides{Timeout: durationpb.New(1e6)},
			want: counts{Failed: 1},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			c, _ := open(t, options(dir))
			c.job(t, test.retries, test.args...)
			op, execution := c.run(t, test.over)
			c.settle(t, op)
			e := c.execution(t, execution)
			if diff := cmp.Diff(test.want, count(e)); diff != "" {
				t.Errorf("counts (-want +got):\n%s\n%v", diff, e.Conditions)
			}
			if e.StartTime == nil || e.CompletionTime == nil || e.Reconciling {
				t.Errorf("execution %v", e)
			}
			if test.logged != "" && !strings.Contains(logOf(t, dir, execution), test.logged) {
				t.Errorf("log %q lacks %q", logOf(t, dir, execution), test.logged)
			}
			j, err := c.jobs.GetJob(t.Context(), &runpb.GetJobRequest{Name: parent + "/jobs/trainer"})
			if err != nil {
				t.Fatal(err)
			}
			if l := j.LatestCreatedExecution; j.ExecutionCount != 1 || l.CompletionTime == nil || !strings.HasSuffix(execution, "/"+l.Name) {
				t.Errorf("job %v", j)
			}
		})
	}
}

// startSignal is a URL whose first GET is told by the channel.
func startSignal(t *testing.T) (env *runpb.RunJobRequest_Overrides, started <-chan struct{}) {
	ch := make(chan struct{}, 16)
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { ch <- struct{}{} }))
	t.Cleanup(srv.Close)
	return &runpb.RunJobRequest_Overrides{ContainerOverrides: []*runpb.RunJobRequest_Overrides_ContainerOverride{{
		Env: []*runpb.EnvVar{{Name: "STARTED_URL", Values: &runpb.EnvVar_Value{Value: srv.URL}}},
	}}}, ch
}

func TestCancelExecution(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c, stop := open(t, options(dir))
	c.job(t, 3, "block", "9")
	over, started := startSignal(t)
	_, execution := c.run(t, over)
	<-started
	op, err := c.executions.CancelExecution(t.Context(), &runpb.CancelExecutionRequest{Name: execution})
	if err != nil {
		t.Fatal(err)
	}
	c.settle(t, op.Name())
	if diff := cmp.Diff(counts{Cancelled: 1}, count(c.execution(t, execution))); diff != "" {
		t.Error(diff)
	}
	stop()
	c, _ = open(t, options(dir))
	if e := c.execution(t, execution); e.CompletionTime == nil {
		t.Error("the cancelled execution started again")
	}
	if _, err := c.executions.CancelExecution(t.Context(), &runpb.CancelExecutionRequest{Name: execution}); err != nil {
		t.Errorf("cancelling again: %v", err)
	}
}

func TestExecution_inProgressAtCloseStartsAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c, stop := open(t, options(dir))
	c.job(t, 0, "block", "1")
	over, started := startSignal(t)
	op, execution := c.run(t, over)
	<-started
	stop()
	c, _ = open(t, options(dir))
	c.settle(t, op)
	if diff := cmp.Diff(counts{Succeeded: 1}, count(c.execution(t, execution))); diff != "" {
		t.Error(diff)
	}
	if log := logOf(t, dir, execution); !strings.Contains(log, "attempt 1") {
		t.Errorf("log %q", log)
	}
}

func TestDeleteJob_endsItsExecutions(t *testing.T) {
	t.Parallel()
	c, _ := open(t, options(t.TempDir()))
	c.job(t, 0, "block", "1")
	over, started := startSignal(t)
	_, execution := c.run(t, over)
	<-started
	if _, err := c.jobs.DeleteJob(t.Context(), &runpb.DeleteJobRequest{Name: parent + "/jobs/trainer"}); err != nil {
		t.Fatal(err)
	}
	_, err := c.executions.GetExecution(t.Context(), &runpb.GetExecutionRequest{Name: execution})
	if status.Code(err) != codes.NotFound {
		t.Errorf("got %v", err)
	}
}

func TestListExecutions_pages(t *testing.T) {
	t.Parallel()
	c, _ := open(t, options(t.TempDir()))
	c.job(t, 0, "ok")
	want := map[string]bool{}
	for range 5 {
		_, e := c.run(t, nil)
		want[e] = true
	}
	got := map[string]bool{}
	for e, err := range c.executions.ListExecutions(t.Context(), &runpb.ListExecutionsRequest{Parent: parent + "/jobs/-", PageSize: 2}).All() {
		if err != nil {
			t.Fatal(err)
		}
		got[e.Name] = true
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestFaults_aCommittedCallMayFail(t *testing.T) {
	t.Parallel()
	o := options(t.TempDir())
	o.Faults = &faultsOnce
	c, _ := open(t, o)
	_, err := c.jobs.CreateJob(t.Context(), &runpb.CreateJobRequest{Parent: parent, JobId: "x", Job: &runpb.Job{
		Template: &runpb.ExecutionTemplate{Template: &runpb.TaskTemplate{Containers: []*runpb.Container{{Image: "job"}}}},
	}})
	if status.Code(err) != codes.Unavailable {
		t.Errorf("got %v, want Unavailable", err)
	}
	if _, err := c.jobs.GetJob(t.Context(), &runpb.GetJobRequest{Name: parent + "/jobs/x"}); err != nil {
		t.Errorf("the call had not taken effect: %v", err)
	}
}
