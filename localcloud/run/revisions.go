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

type revisionsAPI struct {
	runpb.UnimplementedRevisionsServer
	s *Server
}

// revision finds a revision and its service. Needs s.mu.
func (s *Server) revision(name string) (*service, *runpb.Revision, error) {
	for _, v := range s.services {
		if r := v.revisions[id(name)]; r != nil && r.Name == name {
			return v, r, nil
		}
	}
	return nil, nil, status.Errorf(codes.NotFound, "revision %s not found", name)
}

func (a revisionsAPI) GetRevision(ctx context.Context, req *runpb.GetRevisionRequest) (*runpb.Revision, error) {
	if err := a.s.opt.Access.Check(ctx, "run.revisions.get", req.Name); err != nil {
		return nil, err
	}
	a.s.mu.Lock()
	defer a.s.mu.Unlock()
	_, r, err := a.s.revision(req.Name)
	return r, err
}

func (a revisionsAPI) ListRevisions(ctx context.Context, req *runpb.ListRevisionsRequest) (*runpb.ListRevisionsResponse, error) {
	if err := a.s.opt.Access.Check(ctx, "run.revisions.list", req.Parent); err != nil {
		return nil, err
	}
	a.s.mu.Lock()
	defer a.s.mu.Unlock()
	v, ok := a.s.services[req.Parent]
	if !ok {
		return nil, status.Errorf(codes.NotFound, "service %s not found", req.Parent)
	}
	var all []*runpb.Revision
	for _, r := range slices.Sorted(maps.Keys(v.revisions)) {
		all = append(all, v.revisions[r])
	}
	out, next := page(all, req.PageSize, req.PageToken)
	return &runpb.ListRevisionsResponse{Revisions: out, NextPageToken: next}, nil
}

func (a revisionsAPI) DeleteRevision(ctx context.Context, req *runpb.DeleteRevisionRequest) (*longrunningpb.Operation, error) {
	if err := a.s.opt.Access.Check(ctx, "run.revisions.delete", req.Name); err != nil {
		return nil, err
	}
	s := a.s
	s.mu.Lock()
	defer s.mu.Unlock()
	v, r, err := s.revision(req.Name)
	if err != nil {
		return nil, err
	}
	if req.Etag != "" && req.Etag != r.Etag {
		return nil, status.Errorf(codes.Aborted, "revision %s has changed: etag is %s, not %s", req.Name, r.Etag, req.Etag)
	}
	if req.Name == v.doc.LatestCreatedRevision {
		return nil, status.Errorf(codes.FailedPrecondition, "revision %s is the latest one of its service and cannot be deleted", req.Name)
	}
	for _, t := range v.doc.Traffic {
		if t.Type == toRevision && id(t.Revision) == id(req.Name) {
			return nil, status.Errorf(codes.FailedPrecondition, "revision %s has traffic or a tag and cannot be deleted", req.Name)
		}
	}
	for _, t := range v.doc.TrafficStatuses {
		if t.Revision == id(req.Name) {
			return nil, status.Errorf(codes.FailedPrecondition, "revision %s serves and cannot be deleted", req.Name)
		}
	}
	doc := proto.CloneOf(r)
	doc.DeleteTime = timestamppb.New(s.opt.Now())
	if req.ValidateOnly {
		return done(doc.Name, "validate", doc)
	}
	if err := s.store.remove(req.Name); err != nil {
		return nil, status.Errorf(codes.Internal, "delete revision: %v", err)
	}
	if in := v.instances[id(req.Name)]; in != nil {
		in.stop()
		delete(v.instances, id(req.Name))
	}
	delete(v.revisions, id(req.Name))
	s.notify()
	return done(doc.Name, "delete", doc)
}
