package run

import (
	"context"
	"maps"
	"slices"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"cloud.google.com/go/run/apiv2/runpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// execution is a declared execution and the way to end it. Server.mu guards it.
type execution struct {
	doc    *runpb.Execution
	cancel context.CancelFunc // nil when it is not in progress
}

type executionsAPI struct {
	runpb.UnimplementedExecutionsServer
	s *Server
}

func (a executionsAPI) GetExecution(ctx context.Context, req *runpb.GetExecutionRequest) (*runpb.Execution, error) {
	if err := a.s.opt.Access.Check(ctx, "run.executions.get", req.Name); err != nil {
		return nil, err
	}
	a.s.mu.Lock()
	defer a.s.mu.Unlock()
	e := a.s.executions[req.Name]
	if e == nil {
		return nil, status.Errorf(codes.NotFound, "execution %s not found", req.Name)
	}
	return e.doc, nil
}

func (a executionsAPI) ListExecutions(ctx context.Context, req *runpb.ListExecutionsRequest) (*runpb.ListExecutionsResponse, error) {
	if err := a.s.opt.Access.Check(ctx, "run.executions.list", req.Parent); err != nil {
		return nil, err
	}
	a.s.mu.Lock()
	defer a.s.mu.Unlock()
	// A dash stands for the executions of every job of the location.
	all := req.Parent == location(req.Parent)+"/jobs/-"
	if !all && a.s.jobs[req.Parent] == nil {
		return nil, status.Errorf(codes.NotFound, "job %s not found", req.Parent)
	}
	var list []*runpb.Execution
	for _, name := range slices.Sorted(maps.Keys(a.s.executions)) {
		if ownerOf(name) == req.Parent || all && location(name) == location(req.Parent) {
			list = append(list, a.s.executions[name].doc)
		}
	}
	out, next := page(list, req.PageSize, req.PageToken)
	return &runpb.ListExecutionsResponse{Executions: out, NextPageToken: next}, nil
}

// CancelExecution asks the process to end; the operation is done when it has.
func (a executionsAPI) CancelExecution(ctx context.Context, req *runpb.CancelExecutionRequest) (*longrunningpb.Operation, error) {
	if err := a.s.opt.Access.Check(ctx, "run.executions.cancel", req.Name); err != nil {
		return nil, err
	}
	s := a.s
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.executions[req.Name]
	if e == nil {
		return nil, status.Errorf(codes.NotFound, "execution %s not found", req.Name)
	}
	if e.doc.CompletionTime != nil || req.ValidateOnly {
		return s.executionOperation(req.Name)
	}
	// On disk before the process is told: a crash must not start it again.
	doc := proto.CloneOf(e.doc)
	doc.CancelledCount = 1
	if err := s.saveExecution(e, doc); err != nil {
		return nil, err
	}
	e.cancel()
	return s.executionOperation(req.Name)
}

func (a executionsAPI) DeleteExecution(ctx context.Context, req *runpb.DeleteExecutionRequest) (*longrunningpb.Operation, error) {
	if err := a.s.opt.Access.Check(ctx, "run.executions.delete", req.Name); err != nil {
		return nil, err
	}
	s := a.s
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.executions[req.Name]
	if e == nil {
		return nil, status.Errorf(codes.NotFound, "execution %s not found", req.Name)
	}
	doc := proto.CloneOf(e.doc)
	doc.DeleteTime = timestamppb.New(s.opt.Now())
	if req.ValidateOnly {
		return done(doc.Name, "validate", doc)
	}
	if err := s.dropExecution(req.Name); err != nil {
		return nil, status.Errorf(codes.Internal, "delete execution: %v", err)
	}
	s.notify()
	return done(doc.Name, "delete", doc)
}

// dropExecution forgets an execution and ends its process. Needs s.mu.
func (s *Server) dropExecution(name string) error {
	if err := s.store.remove(name); err != nil {
		return err
	}
	if e := s.executions[name]; e.cancel != nil {
		e.cancel()
	}
	delete(s.executions, name)
	return nil
}

// saveExecution makes doc the state of e, on disk first. Needs s.mu.
func (s *Server) saveExecution(e *execution, doc *runpb.Execution) error {
	doc.UpdateTime = timestamppb.New(s.opt.Now())
	if err := s.store.save(doc.Name, doc); err != nil {
		return status.Errorf(codes.Internal, "save execution: %v", err)
	}
	e.doc = doc
	s.notify()
	return nil
}

// executionOperation is done when the execution has completed. Needs s.mu.
func (s *Server) executionOperation(name string) (*longrunningpb.Operation, error) {
	e := s.executions[name]
	if e == nil {
		return nil, status.Errorf(codes.NotFound, "execution %s not found", name)
	}
	op := &longrunningpb.Operation{
		Name: location(name) + "/operations/execution." + id(ownerOf(name)) + "." + id(name),
	}
	return finish(op, e.doc.CompletionTime != nil, e.doc, e.doc.Conditions[0])
}
