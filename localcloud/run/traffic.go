package run

import (
	"crypto/sha256"
	"fmt"

	"cloud.google.com/go/run/apiv2/runpb"
	"github.com/google/uuid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const (
	toLatest   = runpb.TrafficTargetAllocationType_TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST
	toRevision = runpb.TrafficTargetAllocationType_TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION
)

// checkTraffic holds targets to Cloud Run's rules: shares make 100, tags are
// unique, and every revision named exists.
func checkTraffic(targets []*runpb.TrafficTarget, known map[string]*runpb.Revision) error {
	var sum int32
	tags := map[string]bool{}
	for _, t := range targets {
		sum += t.Percent
		if t.Percent < 0 {
			return status.Errorf(codes.InvalidArgument, "traffic: %d %% is less than nothing", t.Percent)
		}
		if t.Tag != "" {
			if err := checkID("tag", t.Tag); err != nil {
				return err
			}
			if tags[t.Tag] {
				return status.Errorf(codes.InvalidArgument, "traffic: tag %q is given twice", t.Tag)
			}
			tags[t.Tag] = true
		}
		switch t.Type {
		case toLatest:
		case toRevision:
			if known[id(t.Revision)] == nil {
				return status.Errorf(codes.InvalidArgument, "traffic: revision %q not found", t.Revision)
			}
		default:
			return status.Error(codes.InvalidArgument, "traffic: a target has no type")
		}
	}
	if sum != 100 {
		return status.Errorf(codes.InvalidArgument, "traffic: the shares make %d, not 100", sum)
	}
	return nil
}

// nextRevision is the revision of a new template: a new one, or one that exists
// with the same configuration; nil when the template has not changed. Needs s.mu.
func (s *Server) nextRevision(v *service, doc *runpb.Service) (*runpb.Revision, error) {
	t := doc.Template
	if v.doc.Template != nil && proto.Equal(t, v.doc.Template) {
		return nil, nil
	}
	name := t.Revision
	if name == "" {
		sum := sha256.Sum256(fmt.Appendf(nil, "%s %d", doc.Uid, doc.Generation))
		name = fmt.Sprintf("%.46s-%05d-%c%c%c", id(doc.Name), doc.Generation, 'a'+sum[0]%26, 'a'+sum[1]%26, 'a'+sum[2]%26)
	} else if err := checkID("template.revision", name); err != nil {
		return nil, err
	} else if len(name) <= len(id(doc.Name)) || name[:len(id(doc.Name))+1] != id(doc.Name)+"-" {
		return nil, status.Errorf(codes.InvalidArgument, "template.revision %q does not start with the service's name and a dash", name)
	}
	rev := &runpb.Revision{
		Name: doc.Name + "/revisions/" + name, Uid: uuid.NewString(), Generation: 1,
		CreateTime: timestamppb.New(s.opt.Now()), UpdateTime: timestamppb.New(s.opt.Now()),
		Labels: t.Labels, Annotations: t.Annotations, LaunchStage: doc.LaunchStage, Service: doc.Name,
		Scaling: t.Scaling, VpcAccess: t.VpcAccess, MaxInstanceRequestConcurrency: t.MaxInstanceRequestConcurrency,
		Timeout: t.Timeout, ServiceAccount: t.ServiceAccount, Containers: t.Containers, Volumes: t.Volumes,
		ExecutionEnvironment: t.ExecutionEnvironment, SessionAffinity: t.SessionAffinity,
		Reconciling: true, LogUri: "file://" + s.logPath(doc.Name+"/revisions/"+name),
	}
	rev.Conditions = []*runpb.Condition{condition("Ready", runpb.Condition_CONDITION_RECONCILING, "", s.opt.Now())}
	rev.Etag = fmt.Sprintf("%q", rev.Uid[:8])
	old := v.revisions[name]
	if old == nil {
		return rev, nil
	}
	if !sameConfiguration(old, rev) {
		return nil, status.Errorf(codes.AlreadyExists, "revision %s exists with another configuration", rev.Name)
	}
	return old, nil
}

// sameConfiguration compares what a template decides.
func sameConfiguration(a, b *runpb.Revision) bool {
	a, b = proto.CloneOf(a), proto.CloneOf(b)
	for _, r := range []*runpb.Revision{a, b} {
		r.Uid, r.Generation, r.CreateTime, r.UpdateTime, r.Reconciling, r.Conditions = "", 0, nil, nil, false, nil
		r.ObservedGeneration, r.LogUri, r.Etag = 0, "", ""
	}
	return proto.Equal(a, b)
}
