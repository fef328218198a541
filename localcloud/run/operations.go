package run

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"cloud.google.com/go/run/apiv2/runpb"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// operationsAPI answers what became of a call. An operation is no state of its
// own: its name says which resource at which generation it brings about, and it
// is done when the resource got there. So operations survive a restart as the
// resources do.
type operationsAPI struct {
	longrunningpb.UnimplementedOperationsServer
	s *Server
}

func (a operationsAPI) GetOperation(ctx context.Context, req *longrunningpb.GetOperationRequest) (*longrunningpb.Operation, error) {
	if err := a.s.opt.Access.Check(ctx, "run.operations.get", req.Name); err != nil {
		return nil, err
	}
	a.s.mu.Lock()
	defer a.s.mu.Unlock()
	return a.s.operation(req.Name)
}

// WaitOperation returns the operation when it is done or its timeout has
// passed, whichever comes first.
func (a operationsAPI) WaitOperation(ctx context.Context, req *longrunningpb.WaitOperationRequest) (op *longrunningpb.Operation, err error) {
	if err := a.s.opt.Access.Check(ctx, "run.operations.get", req.Name); err != nil {
		return nil, err
	}
	if req.Timeout != nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, req.Timeout.AsDuration())
		defer cancel()
	}
	waited := a.s.await(ctx, func() bool {
		op, err = a.s.operation(req.Name)
		return err != nil || op.Done
	})
	if errors.Is(waited, errClosed) {
		return nil, status.Error(codes.Unavailable, waited.Error())
	}
	return op, err
}

// operation parses projects/P/locations/L/operations/KIND.ID.REST. Needs s.mu.
func (s *Server) operation(name string) (*longrunningpb.Operation, error) {
	notFound := status.Errorf(codes.NotFound, "operation %s not found", name)
	parent, rest, ok := strings.Cut(name, "/operations/")
	parts := strings.Split(rest, ".")
	if !ok || len(parts) != 3 {
		return nil, notFound
	}
	switch parts[0] {
	case "service":
		generation, err := strconv.ParseInt(parts[2], 10, 64)
		if err != nil {
			return nil, notFound
		}
		return s.serviceOperation(parent+"/services/"+parts[1], generation)
	case "execution":
		return s.executionOperation(parent + "/jobs/" + parts[1] + "/executions/" + parts[2])
	}
	return nil, notFound
}

// serviceOperation is done when the service has got to a generation, or past it.
func (s *Server) serviceOperation(name string, generation int64) (*longrunningpb.Operation, error) {
	v, ok := s.services[name]
	if !ok {
		return nil, status.Errorf(codes.NotFound, "service %s not found", name)
	}
	op := &longrunningpb.Operation{
		Name: location(name) + "/operations/service." + id(name) + "." + strconv.FormatInt(generation, 10),
	}
	finished := v.doc.ObservedGeneration >= generation
	return finish(op, finished, v.doc, v.doc.TerminalCondition)
}

// finish fills in an operation's metadata and, when it is finished, its result.
func finish(op *longrunningpb.Operation, finished bool, m proto.Message, c *runpb.Condition) (*longrunningpb.Operation, error) {
	any, err := anypb.New(m)
	if err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	op.Metadata, op.Done = any, finished
	switch {
	case !finished:
	case c.GetState() == runpb.Condition_CONDITION_FAILED:
		op.Result = &longrunningpb.Operation_Error{Error: &rpcstatus.Status{Code: int32(codes.Internal), Message: c.Message}}
	default:
		op.Result = &longrunningpb.Operation_Response{Response: any}
	}
	return op, nil
}

// done is the operation of a call that takes effect before it is answered.
func done(name, verb string, m proto.Message) (*longrunningpb.Operation, error) {
	op := &longrunningpb.Operation{Name: location(name) + "/operations/" + verb + "." + id(name)}
	return finish(op, true, m, nil)
}
