// Package cloudrun is the adapter of rollout.Platform over the Cloud Run Admin
// API.
package cloudrun

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	run "cloud.google.com/go/run/apiv2"
	"cloud.google.com/go/run/apiv2/runpb"
	"google.golang.org/api/iterator"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/rollout"
)

// Platform deploys the services of one project and location.
type Platform struct {
	services  *run.ServicesClient
	revisions *run.RevisionsClient
	parent    string
	template  *runpb.RevisionTemplate
}

var _ rollout.Platform = (*Platform)(nil)

// New returns the platform of parent, "projects/P/locations/L". template, with
// one container, is what revisions are made from; its image, environment, limits
// and concurrency are laid over the template that an existing service has, so
// that what was declared there by others (service account, network, a container
// beside it) stays. The
// clients stay the caller's to close.
func New(services *run.ServicesClient, revisions *run.RevisionsClient, parent string, template *runpb.RevisionTemplate) *Platform {
	return &Platform{services, revisions, parent, template}
}

func (p *Platform) name(service string) string { return p.parent + "/services/" + service }

func (p *Platform) get(ctx context.Context, service string) (*runpb.Service, error) {
	s, err := p.services.GetService(ctx, &runpb.GetServiceRequest{Name: p.name(service)})
	return s, translate(err)
}

// list returns the service's revisions in order of creation.
func (p *Platform) list(ctx context.Context, service string) ([]*runpb.Revision, error) {
	var out []*runpb.Revision
	it := p.revisions.ListRevisions(ctx, &runpb.ListRevisionsRequest{Parent: p.name(service)})
	for {
		r, err := it.Next()
		if errors.Is(err, iterator.Done) {
			break
		} else if err != nil {
			return nil, translate(err)
		}
		out = append(out, r)
	}
	slices.SortStableFunc(out, func(a, b *runpb.Revision) int {
		return a.CreateTime.AsTime().Compare(b.CreateTime.AsTime())
	})
	return out, nil
}

// Describe implements rollout.Platform.
func (p *Platform) Describe(ctx context.Context, service string) (_ rollout.Service, err error) {
	defer errs.Wrap(&err, "describe service %s", service)
	s, err := p.get(ctx, service)
	if err != nil {
		return rollout.Service{}, err
	}
	revisions, err := p.list(ctx, service)
	if err != nil {
		return rollout.Service{}, err
	}
	out := rollout.Service{URL: s.Uri}
	for _, r := range revisions {
		st := rollout.Status{Share: rollout.Share{Revision: id(r.Name)}, Ready: ready(r)}
		for _, t := range s.TrafficStatuses {
			if target(s, t.Type, t.Revision) != st.Revision {
				continue
			}
			st.Percent += int(t.Percent)
			if t.Tag != "" {
				st.Tag, st.URL = t.Tag, t.Uri
			}
		}
		out.Revisions = append(out.Revisions, st)
	}
	return out, nil
}

// EnsureRevision implements rollout.Platform.
func (p *Platform) EnsureRevision(ctx context.Context, service string, r rollout.Revision) (err error) {
	defer errs.Wrap(&err, "deploy revision %s", r.Name)
	s, err := p.get(ctx, service)
	if errors.Is(err, errs.NotFound) {
		return p.create(ctx, service, r)
	} else if err != nil {
		return err
	}
	_, err = p.revision(ctx, service, r.Name)
	if errors.Is(err, errs.NotFound) {
		s.Template = p.overlay(s.Template, r)
	} else if err != nil {
		return err
	}
	// Targets of "the latest revision" become the revision that they mean now;
	// else the new one would have traffic at once.
	traffic := []*runpb.TrafficTarget{}
	for _, t := range s.Traffic {
		name := target(s, t.Type, t.Revision)
		if t.Tag == r.Tag {
			t.Tag = ""
		}
		if name != "" && (t.Percent > 0 || t.Tag != "") {
			traffic = append(traffic, &runpb.TrafficTarget{Type: toRevision, Revision: name, Percent: t.Percent, Tag: t.Tag})
		}
	}
	s.Traffic = append(traffic, &runpb.TrafficTarget{Type: toRevision, Revision: r.Name, Tag: r.Tag})
	return p.settled(ctx, service, r.Name, p.update(ctx, s))
}

// create declares a new service, whose first revision has all traffic.
func (p *Platform) create(ctx context.Context, service string, r rollout.Revision) error {
	op, err := p.services.CreateService(ctx, &runpb.CreateServiceRequest{
		Parent: p.parent, ServiceId: service,
		Service: &runpb.Service{
			Template: p.overlay(nil, r),
			Traffic:  []*runpb.TrafficTarget{{Type: toRevision, Revision: r.Name, Percent: 100, Tag: r.Tag}},
		},
	})
	if err != nil {
		return translate(err)
	}
	return p.settled(ctx, service, r.Name, p.wait(ctx, op))
}

// settled turns the end of an operation into the fate of the revision: whether
// it is ready is what counts, not what else the service lacks.
func (p *Platform) settled(ctx context.Context, service, revision string, failure error) error {
	if failure != nil && (ctx.Err() != nil || errors.Is(failure, errs.Conflict) || errors.Is(failure, errs.Unavailable)) {
		return failure
	}
	rev, err := p.revision(ctx, service, revision)
	switch {
	case err != nil:
		return errors.Join(failure, err)
	case ready(rev):
		return nil
	case failed(rev) != "":
		return errs.Permanentf(rollout.CodeNotReady, "%s (log: %s)", failed(rev), rev.LogUri)
	case failure != nil:
		return failure
	}
	return fmt.Errorf("the revision is not ready yet: %w", errs.Unavailable)
}

// SetTraffic implements rollout.Platform.
func (p *Platform) SetTraffic(ctx context.Context, service string, shares []rollout.Share) (err error) {
	defer errs.Wrap(&err, "set traffic of service %s to %v", service, shares)
	s, err := p.get(ctx, service)
	if err != nil {
		return err
	}
	s.Traffic = nil
	for _, sh := range shares {
		s.Traffic = append(s.Traffic, &runpb.TrafficTarget{Type: toRevision, Revision: sh.Revision, Percent: int32(sh.Percent), Tag: sh.Tag})
	}
	failure := p.update(ctx, s)
	if failure == nil || ctx.Err() != nil || errors.Is(failure, errs.Conflict) {
		return failure
	}
	// The operation also fails over a newest revision that is not ready, which
	// may have no part in the traffic.
	if s, err := p.get(ctx, service); err == nil && inEffect(s, shares) {
		return nil
	}
	return failure
}

func inEffect(s *runpb.Service, shares []rollout.Share) bool {
	var have []rollout.Share
	for _, t := range s.TrafficStatuses {
		have = append(have, rollout.Share{Revision: target(s, t.Type, t.Revision), Percent: int(t.Percent), Tag: t.Tag})
	}
	return !s.Reconciling && slices.Equal(have, shares)
}

// DeleteRevision implements rollout.Platform.
func (p *Platform) DeleteRevision(ctx context.Context, service, revision string) (err error) {
	defer errs.Wrap(&err, "delete revision %s", revision)
	revisions, err := p.list(ctx, service)
	if errors.Is(err, errs.NotFound) {
		return nil
	} else if err != nil {
		return err
	}
	if len(revisions) == 1 && id(revisions[0].Name) == revision {
		op, err := p.services.DeleteService(ctx, &runpb.DeleteServiceRequest{Name: p.name(service)})
		if err == nil {
			err = p.wait(ctx, op)
		}
		return gone(translate(err))
	}
	op, err := p.revisions.DeleteRevision(ctx, &runpb.DeleteRevisionRequest{Name: p.name(service) + "/revisions/" + revision})
	if err == nil {
		err = p.wait(ctx, op)
	}
	if status.Code(err) == codes.Aborted { // somebody changed the service just then; nothing keeps the revision
		return fmt.Errorf("%w: %v", errs.Unavailable, err)
	}
	return gone(translate(err))
}

// gone takes what is not there for deleted.
func gone(err error) error {
	if errors.Is(err, errs.NotFound) {
		return nil
	}
	return err
}

func (p *Platform) revision(ctx context.Context, service, name string) (*runpb.Revision, error) {
	r, err := p.revisions.GetRevision(ctx, &runpb.GetRevisionRequest{Name: p.name(service) + "/revisions/" + name})
	return r, translate(err)
}

// overlay is the template of revision r: the adapter's, and r's own environment,
// over what the service has.
func (p *Platform) overlay(existing *runpb.RevisionTemplate, r rollout.Revision) *runpb.RevisionTemplate {
	t := proto.CloneOf(p.template)
	if existing != nil && len(existing.Containers) > 0 {
		ours := t.Containers[0]
		t = proto.CloneOf(existing)
		t.Containers[0].Image = ours.Image
		setEnv(t.Containers[0], ours.Env...)
		if ours.StartupProbe != nil {
			t.Containers[0].StartupProbe = ours.StartupProbe
		}
		if limits := ours.GetResources().GetLimits(); len(limits) > 0 {
			if t.Containers[0].Resources == nil {
				t.Containers[0].Resources = &runpb.ResourceRequirements{}
			}
			if t.Containers[0].Resources.Limits == nil {
				t.Containers[0].Resources.Limits = map[string]string{}
			}
			maps.Copy(t.Containers[0].Resources.Limits, limits)
		}
		if n := p.template.MaxInstanceRequestConcurrency; n > 0 {
			t.MaxInstanceRequestConcurrency = n
		}
	}
	t.Revision = r.Name
	for _, name := range slices.Sorted(maps.Keys(r.Env)) {
		setEnv(t.Containers[0], &runpb.EnvVar{Name: name, Values: &runpb.EnvVar_Value{Value: r.Env[name]}})
	}
	return t
}

func setEnv(c *runpb.Container, vars ...*runpb.EnvVar) {
	for _, v := range vars {
		c.Env = slices.DeleteFunc(c.Env, func(old *runpb.EnvVar) bool { return old.Name == v.Name })
		c.Env = append(c.Env, v)
	}
}

// update declares s, guarded by the etag that it was read with.
func (p *Platform) update(ctx context.Context, s *runpb.Service) error {
	op, err := p.services.UpdateService(ctx, &runpb.UpdateServiceRequest{Service: s})
	if err != nil {
		return translate(err)
	}
	return p.wait(ctx, op)
}

// operation is what the generated operations have in common.
type operation interface {
	Name() string
	Done() bool
}

// waitSlice is how long one call waits on the server's side; proxies between
// cut longer ones.
const waitSlice = 30 * time.Second

// wait returns when the operation is done, with its error. The server tells at
// once: the generated client would ask again only after up to a second.
func (p *Platform) wait(ctx context.Context, o operation) error {
	if o.Done() {
		return nil
	}
	for {
		op, err := p.services.LROClient.WaitOperation(ctx, &longrunningpb.WaitOperationRequest{Name: o.Name(), Timeout: durationpb.New(waitSlice)})
		if err != nil {
			return translate(err)
		}
		if op.Done {
			return translate(status.FromProto(op.GetError()).Err())
		}
	}
}

const toRevision = runpb.TrafficTargetAllocationType_TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION

// target is the revision that a traffic target means now.
func target(s *runpb.Service, t runpb.TrafficTargetAllocationType, revision string) string {
	if t == runpb.TrafficTargetAllocationType_TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST {
		revision = s.LatestReadyRevision
	}
	return id(revision)
}

func id(name string) string { return name[strings.LastIndexByte(name, '/')+1:] }

func readyCondition(r *runpb.Revision) *runpb.Condition {
	for _, c := range r.Conditions {
		if c.Type == "Ready" {
			return c
		}
	}
	return nil
}

func ready(r *runpb.Revision) bool {
	return readyCondition(r).GetState() == runpb.Condition_CONDITION_SUCCEEDED
}

// failed says why the revision will not become ready; empty when it still may.
func failed(r *runpb.Revision) string {
	if c := readyCondition(r); c.GetState() == runpb.Condition_CONDITION_FAILED {
		return "the revision is not ready: " + c.Message
	}
	return ""
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
