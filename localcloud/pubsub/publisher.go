package pubsub

import (
	"context"
	"strings"

	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
)

// publisher is the Publisher service.
type publisher struct {
	pb.UnimplementedPublisherServer
	s *Server
}

func (p publisher) Publish(ctx context.Context, r *pb.PublishRequest) (*pb.PublishResponse, error) {
	if err := p.s.o.Access.Check(ctx, "pubsub.topics.publish", r.Topic); err != nil {
		return nil, err
	}
	ids, err := p.s.publish(r.Topic, r.Messages)
	if err != nil {
		return nil, err
	}
	return &pb.PublishResponse{MessageIds: ids}, nil
}

func (p publisher) CreateTopic(ctx context.Context, t *pb.Topic) (*pb.Topic, error) {
	if err := p.s.o.Access.Check(ctx, "pubsub.topics.create", projectOf(t.GetName())); err != nil {
		return nil, err
	}
	if err := checkTopic(t); err != nil {
		return nil, err
	}
	t = proto.CloneOf(t)
	t.State = pb.Topic_ACTIVE
	return t, p.s.change(func() ([]byte, error) {
		if p.s.topics[t.Name] != nil {
			return nil, alreadyExists("topic", t.Name)
		}
		frame, err := appendTopic(nil, t)
		if err != nil {
			return nil, invalid("%v", err)
		}
		p.s.applyTopic(t)
		return frame, nil
	})
}

func checkTopic(t *pb.Topic) error {
	if t.GetIngestionDataSourceSettings() != nil || t.GetSchemaSettings() != nil || len(t.GetMessageTransforms()) > 0 {
		return unsupported("topics with ingestion, schemas or transforms")
	}
	return checkName(t.GetName(), "topics")
}

func (p publisher) UpdateTopic(ctx context.Context, r *pb.UpdateTopicRequest) (out *pb.Topic, err error) {
	if err := p.s.o.Access.Check(ctx, "pubsub.topics.update", r.GetTopic().GetName()); err != nil {
		return nil, err
	}
	name := r.GetTopic().GetName()
	return out, p.s.change(func() ([]byte, error) {
		t := p.s.topics[name]
		if t == nil {
			return nil, notFound("topic", name)
		}
		out = proto.CloneOf(t.config)
		if err := applyMask(out, r.Topic, r.UpdateMask, "name", "state"); err != nil {
			return nil, err
		}
		if err := checkTopic(out); err != nil {
			return nil, err
		}
		frame, err := appendTopic(nil, out)
		if err != nil {
			return nil, invalid("%v", err)
		}
		p.s.applyTopic(out)
		return frame, nil
	})
}

func (p publisher) GetTopic(ctx context.Context, r *pb.GetTopicRequest) (*pb.Topic, error) {
	if err := p.s.o.Access.Check(ctx, "pubsub.topics.get", r.Topic); err != nil {
		return nil, err
	}
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	t := p.s.topics[r.Topic]
	if t == nil {
		return nil, notFound("topic", r.Topic)
	}
	return t.config, nil
}

func (p publisher) ListTopics(ctx context.Context, r *pb.ListTopicsRequest) (*pb.ListTopicsResponse, error) {
	if err := p.s.o.Access.Check(ctx, "pubsub.topics.list", r.Project); err != nil {
		return nil, err
	}
	if !projectName.MatchString(r.Project) {
		return nil, invalid("project %q: expected projects/PROJECT", r.Project)
	}
	p.s.mu.Lock()
	var topics []*pb.Topic
	for name, t := range p.s.topics {
		if strings.HasPrefix(name, r.Project+"/") {
			topics = append(topics, t.config)
		}
	}
	p.s.mu.Unlock()
	topics, next, err := page(topics, (*pb.Topic).GetName, r.PageSize, r.PageToken)
	return &pb.ListTopicsResponse{Topics: topics, NextPageToken: next}, err
}

func (p publisher) ListTopicSubscriptions(ctx context.Context, r *pb.ListTopicSubscriptionsRequest) (*pb.ListTopicSubscriptionsResponse, error) {
	if err := p.s.o.Access.Check(ctx, "pubsub.topics.get", r.Topic); err != nil {
		return nil, err
	}
	p.s.mu.Lock()
	t := p.s.topics[r.Topic]
	var names []string
	if t != nil {
		for _, sub := range t.subs {
			names = append(names, sub.config.Name)
		}
	}
	p.s.mu.Unlock()
	if t == nil {
		return nil, notFound("topic", r.Topic)
	}
	names, next, err := page(names, func(s string) string { return s }, r.PageSize, r.PageToken)
	return &pb.ListTopicSubscriptionsResponse{Subscriptions: names, NextPageToken: next}, err
}

func (p publisher) ListTopicSnapshots(context.Context, *pb.ListTopicSnapshotsRequest) (*pb.ListTopicSnapshotsResponse, error) {
	return &pb.ListTopicSnapshotsResponse{}, nil
}

func (p publisher) DeleteTopic(ctx context.Context, r *pb.DeleteTopicRequest) (*emptypb.Empty, error) {
	if err := p.s.o.Access.Check(ctx, "pubsub.topics.delete", r.Topic); err != nil {
		return nil, err
	}
	return &emptypb.Empty{}, p.s.change(func() ([]byte, error) {
		if p.s.topics[r.Topic] == nil {
			return nil, notFound("topic", r.Topic)
		}
		p.s.applyNoTopic(r.Topic)
		return appendNoTopic(nil, r.Topic), nil
	})
}

func (p publisher) DetachSubscription(_ context.Context, r *pb.DetachSubscriptionRequest) (*pb.DetachSubscriptionResponse, error) {
	return nil, unsupported("detached subscriptions; delete the subscription instead")
}
