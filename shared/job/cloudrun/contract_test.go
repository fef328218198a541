package cloudrun_test

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"cloud.google.com/go/run/apiv2/runpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/litterloop/litterloop/shared/job/jobtest"
)

// contract is Cloud Run's API for jobs as it answers in the cloud: executions of
// a name that it gives, conditions in its words, pages. Its tasks are no
// processes: they end when they are looked at.
type contract struct {
	mu         sync.Mutex
	executions []*runpb.Execution
	count      int
}

type jobsContract struct {
	runpb.UnimplementedJobsServer
	*contract
}

type executionsContract struct {
	runpb.UnimplementedExecutionsServer
	*contract
}

func declared(name string) error {
	if name == parent+"/jobs/"+jobtest.Trainer || name == parent+"/jobs/"+jobtest.Brief {
		return nil
	}
	return status.Errorf(codes.NotFound, "Resource '%s' of kind 'JOB' in region 'here' in project 'demo' does not exist.", name)
}

func (c jobsContract) RunJob(_ context.Context, req *runpb.RunJobRequest) (*longrunningpb.Operation, error) {
	if err := declared(req.Name); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count++
	o := req.Overrides.ContainerOverrides[0]
	e := &runpb.Execution{
		Name: fmt.Sprintf("%s/executions/%s-%05d", req.Name, req.Name[len(parent+"/jobs/"):], c.count), Job: req.Name,
		CreateTime: timestamppb.Now(), TaskCount: 1, Parallelism: 1, RunningCount: 1, Reconciling: true,
		Template: &runpb.TaskTemplate{Containers: []*runpb.Container{{
			Image: "trainer", Args: o.Args, Env: append([]*runpb.EnvVar{{Name: "REGION", Values: &runpb.EnvVar_Value{Value: "here"}}}, o.Env...),
		}}},
		Conditions: []*runpb.Condition{{Type: "Completed", State: runpb.Condition_CONDITION_RECONCILING}},
		LogUri:     "https://console.cloud.google.com/logs/viewer?project=demo",
	}
	c.executions = append(c.executions, e)
	metadata, err := anypb.New(e)
	return &longrunningpb.Operation{Name: parent + "/operations/" + strconv.Itoa(c.count), Metadata: metadata}, err
}

func (c executionsContract) find(name string) (*runpb.Execution, error) {
	i := slices.IndexFunc(c.executions, func(e *runpb.Execution) bool { return e.Name == name })
	if i < 0 {
		return nil, status.Errorf(codes.NotFound, "Resource '%s' of kind 'EXECUTION' in region 'here' in project 'demo' does not exist.", name)
	}
	return c.executions[i], nil
}

func (c executionsContract) GetExecution(_ context.Context, req *runpb.GetExecutionRequest) (*runpb.Execution, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, err := c.find(req.Name)
	if err != nil {
		return nil, err
	}
	if e.CompletionTime == nil {
		task := fmt.Sprintf("Task %s-task0 failed with message: ", e.Name)
		switch does := e.Template.Containers[0].Args[0]; {
		case does == jobtest.Succeed:
			e.SucceededCount = 1
			c.complete(e, runpb.Condition_CONDITION_SUCCEEDED, "Execution completed successfully in 1m2.3s.")
		case does == jobtest.Fail:
			e.FailedCount, e.RetriedCount = 1, 3
			c.complete(e, runpb.Condition_CONDITION_FAILED, task+"The container exited with an error. The container exited with exit code 1.")
		case e.Job == parent+"/jobs/"+jobtest.Brief:
			e.FailedCount = 1
			c.complete(e, runpb.Condition_CONDITION_FAILED, task+"The configured timeout was reached.")
		}
	}
	return proto.CloneOf(e), nil
}

func (c executionsContract) complete(e *runpb.Execution, state runpb.Condition_State, message string) {
	e.CompletionTime, e.RunningCount, e.Reconciling = timestamppb.Now(), 0, false
	e.Conditions = []*runpb.Condition{
		{Type: "Completed", State: state, Message: message},
		{Type: "ResourcesAvailable", State: runpb.Condition_CONDITION_SUCCEEDED, Message: "Provisioned imported containers."},
	}
}

// ListExecutions gives pages of two, the newest first.
func (c executionsContract) ListExecutions(_ context.Context, req *runpb.ListExecutionsRequest) (*runpb.ListExecutionsResponse, error) {
	if err := declared(req.Parent); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []*runpb.Execution
	for _, e := range slices.Backward(c.executions) {
		if e.Job == req.Parent {
			all = append(all, proto.CloneOf(e))
		}
	}
	from, _ := strconv.Atoi(req.PageToken)
	to := min(from+2, len(all))
	out := &runpb.ListExecutionsResponse{Executions: all[from:to]}
	if to < len(all) {
		out.NextPageToken = strconv.Itoa(to)
	}
	return out, nil
}

func (c executionsContract) CancelExecution(_ context.Context, req *runpb.CancelExecutionRequest) (*longrunningpb.Operation, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, err := c.find(req.Name)
	if err != nil {
		return nil, err
	}
	if e.CompletionTime != nil {
		return nil, status.Errorf(codes.FailedPrecondition, "Execution %s has already completed.", e.Name)
	}
	e.CancelledCount = 1
	c.complete(e, runpb.Condition_CONDITION_FAILED, "The execution was cancelled. Cancelled by demo@example.com.")
	return &longrunningpb.Operation{Name: parent + "/operations/cancel"}, nil
}

func (c *contract) started() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.count
}

func (c *contract) given(id string) ([]string, map[string]string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.executions {
		env := map[string]string{}
		for _, v := range e.Template.Containers[0].Env {
			env[v.Name] = v.GetValue()
		}
		if env["LITTERLOOP_LAUNCH"] == id {
			return e.Template.Containers[0].Args, env
		}
	}
	return nil, nil
}

func (c *contract) delete(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.executions = slices.DeleteFunc(c.executions, func(e *runpb.Execution) bool { return e.Name == name })
}
