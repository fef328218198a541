package run

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"cloud.google.com/go/run/apiv2/runpb"
	"github.com/google/uuid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// service is a declared service and what runs for it. Server.mu guards it.
type service struct {
	doc       *runpb.Service
	revisions map[string]*runpb.Revision // by id
	instances map[string]*instance       // by revision id
	meters    map[string]*meter          // by revision id
	main      *endpoint
	tags      map[string]*endpoint
	// superseded ends the reconciliation of an older generation.
	superseded context.CancelFunc
}

type servicesAPI struct {
	runpb.UnimplementedServicesServer
	s *Server
}

func (a servicesAPI) CreateService(ctx context.Context, req *runpb.CreateServiceRequest) (*longrunningpb.Operation, error) {
	if err := a.s.opt.Access.Check(ctx, "run.services.create", req.Parent); err != nil {
		return nil, err
	}
	if err := a.s.mayRun(ctx, req.Parent, req.Service.GetTemplate()); err != nil {
		return nil, err
	}
	if err := checkParent(req.Parent); err != nil {
		return nil, err
	}
	if err := checkID("service_id", req.ServiceId); err != nil {
		return nil, err
	}
	a.s.mu.Lock()
	defer a.s.mu.Unlock()
	return a.s.createService(req.Parent+"/services/"+req.ServiceId, req.Service, req.ValidateOnly)
}

func (s *Server) createService(name string, doc *runpb.Service, validateOnly bool) (*longrunningpb.Operation, error) {
	if _, ok := s.services[name]; ok {
		return nil, status.Errorf(codes.AlreadyExists, "service %s exists", name)
	}
	v := &service{
		doc:       &runpb.Service{Name: name, Uid: uuid.NewString(), CreateTime: timestamppb.New(s.opt.Now())},
		revisions: map[string]*runpb.Revision{}, instances: map[string]*instance{},
		meters: map[string]*meter{}, tags: map[string]*endpoint{},
	}
	return s.putService(v, doc, validateOnly)
}

func (a servicesAPI) UpdateService(ctx context.Context, req *runpb.UpdateServiceRequest) (*longrunningpb.Operation, error) {
	if err := a.s.opt.Access.Check(ctx, "run.services.update", req.GetService().GetName()); err != nil {
		return nil, err
	}
	if err := a.s.mayRun(ctx, req.GetService().GetName(), req.GetService().GetTemplate()); err != nil {
		return nil, err
	}
	name := req.GetService().GetName()
	a.s.mu.Lock()
	defer a.s.mu.Unlock()
	v, ok := a.s.services[name]
	if !ok && req.AllowMissing {
		parent, service, _ := strings.Cut(name, "/services/")
		if err := errors.Join(checkParent(parent), checkID("service name", service)); err != nil {
			return nil, status.Error(codes.InvalidArgument, err.Error())
		}
		if err := a.s.opt.Access.Check(ctx, "run.services.create", parent); err != nil {
			return nil, err
		}
		return a.s.createService(name, req.Service, req.ValidateOnly)
	}
	if !ok {
		return nil, status.Errorf(codes.NotFound, "service %s not found", name)
	}
	if req.Service.Etag != "" && req.Service.Etag != v.doc.Etag {
		return nil, status.Errorf(codes.Aborted, "service %s has changed: etag is %s, not %s; read it again", name, v.doc.Etag, req.Service.Etag)
	}
	want, err := masked(v.doc, req.Service, req.UpdateMask)
	if err != nil {
		return nil, err
	}
	return a.s.putService(v, want, req.ValidateOnly)
}

// putService declares a new generation of v as want says, creating the
// revision of a changed template, and sets its reconciliation going. Needs s.mu.
func (s *Server) putService(v *service, want *runpb.Service, validateOnly bool) (*longrunningpb.Operation, error) {
	doc := proto.CloneOf(v.doc)
	doc.Generation++
	doc.Etag = fmt.Sprintf("%q", fmt.Sprintf("%.8s-%d", doc.Uid, doc.Generation))
	doc.UpdateTime = timestamppb.New(s.opt.Now())
	doc.Description, doc.Labels, doc.Annotations = want.Description, want.Labels, want.Annotations
	doc.Client, doc.ClientVersion = want.Client, want.ClientVersion
	doc.Ingress, doc.LaunchStage, doc.Scaling = want.Ingress, want.LaunchStage, want.Scaling
	doc.InvokerIamDisabled, doc.CustomAudiences = want.InvokerIamDisabled, want.CustomAudiences
	doc.Template, doc.Traffic = proto.CloneOf(want.Template), want.Traffic
	if doc.Template == nil {
		return nil, status.Error(codes.InvalidArgument, "the service has no template")
	}
	if err := s.checkContainers(doc.Template.Containers); err != nil {
		return nil, err
	}
	rev, err := s.nextRevision(v, doc)
	if err != nil {
		return nil, err
	}
	if len(doc.Traffic) == 0 {
		doc.Traffic = []*runpb.TrafficTarget{{Type: runpb.TrafficTargetAllocationType_TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST, Percent: 100}}
	}
	known := maps.Clone(v.revisions)
	if rev != nil {
		known[id(rev.Name)] = rev
		doc.LatestCreatedRevision = rev.Name
	}
	if err := checkTraffic(doc.Traffic, known); err != nil {
		return nil, err
	}
	doc.Reconciling = true
	doc.TerminalCondition = condition("Ready", runpb.Condition_CONDITION_RECONCILING, "", s.opt.Now())
	if validateOnly {
		return done(doc.Name, "validate", doc)
	}
	if v.main == nil {
		if v.main, err = s.newEndpoint(doc.Name, ""); err != nil {
			return nil, status.Error(codes.Unavailable, err.Error())
		}
		doc.Uri = v.main.uri
		doc.Urls = []string{doc.Uri}
	}
	// The revision before the service that refers to it: a crash in between
	// leaves one revision too many, which the same call repeated takes up.
	if rev != nil {
		if err := s.store.save(rev.Name, rev); err != nil {
			return nil, status.Errorf(codes.Internal, "save revision: %v", err)
		}
	}
	if err := s.store.save(doc.Name, doc); err != nil {
		return nil, status.Errorf(codes.Internal, "save service: %v", err)
	}
	v.doc, v.revisions = doc, known
	s.services[doc.Name] = v
	s.reconcile(v)
	s.notify()
	return s.serviceOperation(doc.Name, doc.Generation)
}

func (a servicesAPI) GetService(ctx context.Context, req *runpb.GetServiceRequest) (*runpb.Service, error) {
	if err := a.s.opt.Access.Check(ctx, "run.services.get", req.Name); err != nil {
		return nil, err
	}
	a.s.mu.Lock()
	defer a.s.mu.Unlock()
	v, ok := a.s.services[req.Name]
	if !ok {
		return nil, status.Errorf(codes.NotFound, "service %s not found", req.Name)
	}
	return v.doc, nil
}

func (a servicesAPI) ListServices(ctx context.Context, req *runpb.ListServicesRequest) (*runpb.ListServicesResponse, error) {
	if err := a.s.opt.Access.Check(ctx, "run.services.list", req.Parent); err != nil {
		return nil, err
	}
	if err := checkParent(req.Parent); err != nil {
		return nil, err
	}
	a.s.mu.Lock()
	defer a.s.mu.Unlock()
	var all []*runpb.Service
	for _, name := range slices.Sorted(maps.Keys(a.s.services)) {
		if location(name) == req.Parent {
			all = append(all, a.s.services[name].doc)
		}
	}
	out, next := page(all, req.PageSize, req.PageToken)
	return &runpb.ListServicesResponse{Services: out, NextPageToken: next}, nil
}

func (a servicesAPI) DeleteService(ctx context.Context, req *runpb.DeleteServiceRequest) (*longrunningpb.Operation, error) {
	if err := a.s.opt.Access.Check(ctx, "run.services.delete", req.Name); err != nil {
		return nil, err
	}
	s := a.s
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.services[req.Name]
	if !ok {
		return nil, status.Errorf(codes.NotFound, "service %s not found", req.Name)
	}
	if req.Etag != "" && req.Etag != v.doc.Etag {
		return nil, status.Errorf(codes.Aborted, "service %s has changed: etag is %s, not %s", req.Name, v.doc.Etag, req.Etag)
	}
	doc := proto.CloneOf(v.doc)
	doc.DeleteTime = timestamppb.New(s.opt.Now())
	if req.ValidateOnly {
		return done(doc.Name, "validate", doc)
	}
	// The service first: its revisions without it are removed at the next start.
	if err := s.store.remove(req.Name); err != nil {
		return nil, status.Errorf(codes.Internal, "delete service: %v", err)
	}
	for _, r := range v.revisions {
		if err := s.store.remove(r.Name); err != nil {
			s.opt.Log.Error("delete revision", "name", r.Name, "error", err)
		}
	}
	delete(s.services, req.Name)
	if v.superseded != nil {
		v.superseded()
	}
	// Listeners close and requests in flight finish behind the caller's back.
	s.background(func() {
		v.main.close(s.ctx)
		for _, e := range v.tags {
			e.close(s.ctx)
		}
	})
	for _, in := range v.instances {
		in.stop()
	}
	s.notify()
	return done(doc.Name, "delete", doc)
}

// Stats returns the requests that each revision of a service answered since
// this Server started, by the service's id, revisions in order of their names.
// It is empty for an unknown service.
func (s *Server) Stats(service string) []RevisionStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []RevisionStats
	for name, v := range s.services {
		if id(name) != service {
			continue
		}
		percent := map[string]int{}
		for _, t := range v.doc.TrafficStatuses {
			percent[t.Revision] += int(t.Percent)
		}
		for _, r := range slices.Sorted(maps.Keys(v.meters)) {
			out = append(out, v.meters[r].stats(r, percent[r]))
		}
	}
	return out
}
