package run

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"cloud.google.com/go/run/apiv2/runpb"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

func condition(typ string, st runpb.Condition_State, message string, now time.Time) *runpb.Condition {
	return &runpb.Condition{Type: typ, State: st, Message: message, LastTransitionTime: timestamppb.New(now)}
}

func isReady(r *runpb.Revision) bool {
	return len(r.Conditions) > 0 && r.Conditions[0].State == runpb.Condition_CONDITION_SUCCEEDED
}

// loadServices takes up what is on disk: each service at its former URLs with
// the traffic it last had, and its reconciliation where one was in progress.
// Needs s.mu.
func (s *Server) loadServices() error {
	err := loadAll(s.store, "services", func() *runpb.Service { return &runpb.Service{} }, func(doc *runpb.Service) error {
		s.services[doc.Name] = &service{
			doc:       doc,
			revisions: map[string]*runpb.Revision{}, instances: map[string]*instance{},
			meters: map[string]*meter{}, tags: map[string]*endpoint{},
		}
		return nil
	})
	if err != nil {
		return err
	}
	err = loadAll(s.store, "services/revisions", func() *runpb.Revision { return &runpb.Revision{} }, func(r *runpb.Revision) error {
		v, ok := s.services[r.Service]
		if !ok { // its service was deleted
			return s.store.remove(r.Name)
		}
		v.revisions[id(r.Name)] = r
		return nil
	})
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(s.services)) {
		v := s.services[name]
		if v.main, err = s.newEndpoint(v.doc.Name, v.doc.Uri); err != nil {
			return err
		}
		doc := proto.CloneOf(v.doc)
		doc.Uri, doc.Urls = v.main.uri, []string{v.main.uri}
		v.doc = doc
		if err := s.route(v, doc.TrafficStatuses); err != nil {
			return err
		}
		if v.doc.Reconciling {
			s.reconcile(v)
		}
	}
	return nil
}

// reconcile brings about what v declares, in the background. Needs s.mu.
func (s *Server) reconcile(v *service) {
	if v.superseded != nil {
		v.superseded()
	}
	ctx, cancel := context.WithCancel(s.ctx)
	v.superseded = cancel
	doc := v.doc
	// What must prove itself: whatever gets traffic or a tag, and the latest
	// revision unless it failed before; that one must not bar the way back.
	wanted := map[string]*instance{}
	if r := v.revisions[id(doc.LatestCreatedRevision)]; r != nil && r.Reconciling {
		wanted[id(r.Name)] = nil
	}
	for _, t := range doc.Traffic {
		if t.Type == toRevision {
			wanted[id(t.Revision)] = nil
		}
	}
	for r := range wanted {
		if rev := v.revisions[r]; rev != nil && !isReady(rev) {
			wanted[r] = s.instance(v, r)
		}
	}
	s.background(func() {
		defer cancel()
		verdicts := map[string]error{}
		for r, in := range wanted {
			if in == nil {
				continue
			}
			verdicts[r] = in.started(ctx)
			if ctx.Err() != nil {
				return
			}
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if ctx.Err() != nil {
			return
		}
		if err := s.settle(v, verdicts); err != nil {
			s.opt.Log.Error("reconcile service", "service", doc.Name, "error", err)
		}
		s.notify()
	})
}

// instance returns the running revision, starting it where it is not. Needs s.mu.
func (s *Server) instance(v *service, revision string) *instance {
	in := v.instances[revision]
	if in != nil {
		select {
		case <-in.gone: // given up; this is another try
		default:
			return in
		}
	}
	rev := v.revisions[revision]
	in = s.startInstance(rev, isReady(rev))
	v.instances[revision] = in
	return in
}

// settle records the verdicts over revisions and, when nothing that is to serve
// failed, puts the declared traffic into effect. Otherwise traffic stays as it
// was. Needs s.mu.
func (s *Server) settle(v *service, verdicts map[string]error) error {
	now := s.opt.Now()
	for r, err := range verdicts {
		if v.revisions[r] == nil { // deleted meanwhile
			continue
		}
		rev := proto.CloneOf(v.revisions[r])
		rev.Reconciling, rev.ObservedGeneration = false, rev.Generation
		rev.UpdateTime = timestamppb.New(now)
		rev.Conditions = []*runpb.Condition{condition("Ready", runpb.Condition_CONDITION_SUCCEEDED, "", now)}
		if err != nil {
			rev.Conditions = []*runpb.Condition{condition("Ready", runpb.Condition_CONDITION_FAILED, err.Error(), now)}
		}
		if err := s.store.save(rev.Name, rev); err != nil {
			return err
		}
		v.revisions[r] = rev
	}
	doc := proto.CloneOf(v.doc)
	doc.Reconciling, doc.ObservedGeneration = false, doc.Generation
	doc.TerminalCondition = condition("Ready", runpb.Condition_CONDITION_SUCCEEDED, "", now)
	if r := v.revisions[id(doc.LatestCreatedRevision)]; r != nil && isReady(r) {
		doc.LatestReadyRevision = r.Name
	}
	statuses, err := resolve(doc, v.revisions)
	if err == nil {
		for r, verdict := range verdicts {
			if verdict != nil {
				err = fmt.Errorf("revision %s is not ready: %w", r, verdict)
			}
		}
	}
	if err != nil {
		doc.TerminalCondition = condition("Ready", runpb.Condition_CONDITION_FAILED, err.Error(), now)
		statuses = doc.TrafficStatuses
	}
	v.doc = doc
	return s.route(v, statuses)
}

// resolve turns declared targets into revisions. It fails when one of them is
// not ready.
func resolve(doc *runpb.Service, revisions map[string]*runpb.Revision) ([]*runpb.TrafficTargetStatus, error) {
	var out []*runpb.TrafficTargetStatus
	for _, t := range doc.Traffic {
		r := id(t.Revision)
		if t.Type == toLatest {
			r = id(doc.LatestReadyRevision)
		}
		rev := revisions[r]
		if rev == nil {
			return nil, fmt.Errorf("no revision is ready")
		}
		if !isReady(rev) {
			return nil, fmt.Errorf("revision %s is not ready: %s", r, rev.Conditions[0].Message)
		}
		out = append(out, &runpb.TrafficTargetStatus{Type: t.Type, Revision: r, Percent: t.Percent, Tag: t.Tag})
	}
	return out, nil
}

// route puts a traffic table into effect and on disk: endpoints for tags,
// instances for every revision in it, and an end to all others. Needs s.mu.
func (s *Server) route(v *service, statuses []*runpb.TrafficTargetStatus) error {
	former := map[string]string{}
	for _, t := range v.doc.TrafficStatuses {
		former[t.Tag] = t.Uri
	}
	var shares []share
	used, tags := map[string]bool{}, map[string]bool{}
	for _, t := range statuses {
		if v.revisions[t.Revision] == nil {
			continue
		}
		if t.Percent == 0 && t.Tag == "" {
			continue
		}
		used[t.Revision] = true
		in := s.instance(v, t.Revision)
		if v.meters[t.Revision] == nil {
			v.meters[t.Revision] = &meter{}
		}
		shares = append(shares, share{in, int(t.Percent), v.meters[t.Revision]})
		if t.Tag == "" {
			continue
		}
		tags[t.Tag] = true
		if v.tags[t.Tag] == nil {
			e, err := s.newEndpoint(v.doc.Name, former[t.Tag])
			if err != nil {
				return err
			}
			v.tags[t.Tag] = e
		}
		v.tags[t.Tag].route([]share{{in, 100, nil}})
		t.Uri = v.tags[t.Tag].uri
	}
	v.main.route(shares)
	for tag, e := range v.tags {
		if !tags[tag] {
			delete(v.tags, tag)
			s.background(func() { e.close(s.ctx) })
		}
	}
	for r, in := range v.instances {
		if !used[r] {
			in.stop()
			delete(v.instances, r)
		}
	}
	doc := proto.CloneOf(v.doc)
	doc.TrafficStatuses = statuses
	v.doc = doc
	return s.store.save(doc.Name, doc)
}
