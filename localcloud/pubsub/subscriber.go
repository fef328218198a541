package pubsub

import (
	"context"
	"net/url"
	"strings"
	"time"

	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/litterloop/litterloop/localcloud/pubsub/internal/filter"
)

// subscriber is the Subscriber service.
type subscriber struct {
	pb.UnimplementedSubscriberServer
	s *Server
}

func (r subscriber) CreateSubscription(ctx context.Context, c *pb.Subscription) (*pb.Subscription, error) {
	if err := r.s.o.Access.Check(ctx, "pubsub.subscriptions.create", projectOf(c.GetName())); err != nil {
		return nil, err
	}
	if err := r.s.o.Access.Check(ctx, "pubsub.topics.attachSubscription", c.GetTopic()); err != nil {
		return nil, err
	}
	c = proto.CloneOf(c)
	if c.AckDeadlineSeconds == 0 {
		c.AckDeadlineSeconds = 10
	}
	if c.MessageRetentionDuration == nil {
		c.MessageRetentionDuration = durationpb.New(7 * 24 * time.Hour)
	}
	c.State = pb.Subscription_ACTIVE
	f, err := checkSubscription(c)
	if err != nil {
		return nil, err
	}
	return c, r.s.change(func() ([]byte, error) {
		if r.s.subs[c.Name] != nil {
			return nil, alreadyExists("subscription", c.Name)
		}
		if r.s.topics[c.Topic] == nil {
			return nil, notFound("topic", c.Topic)
		}
		if p := c.DeadLetterPolicy; p != nil && r.s.topics[p.DeadLetterTopic] == nil {
			return nil, notFound("dead-letter topic", p.DeadLetterTopic)
		}
		uid := r.s.lastUID + 1
		frame, err := appendSub(nil, uid, c)
		if err != nil {
			return nil, invalid("%v", err)
		}
		r.s.applySub(uid, c, f)
		return frame, nil
	})
}

// checkSubscription checks what Pub/Sub checks and fills in its defaults.
func checkSubscription(c *pb.Subscription) (filter.Filter, error) {
	if err := checkName(c.Name, "subscriptions"); err != nil {
		return nil, err
	}
	if c.Topic != deletedTopic {
		if err := checkName(c.Topic, "topics"); err != nil {
			return nil, err
		}
	}
	switch {
	case c.EnableExactlyOnceDelivery:
		return nil, unsupported("exactly-once delivery")
	case c.EnableMessageOrdering:
		return nil, unsupported("ordered delivery")
	case c.GetBigqueryConfig().GetTable() != "", c.GetCloudStorageConfig().GetBucket() != "", len(c.MessageTransforms) > 0:
		return nil, unsupported("subscriptions that write to BigQuery or Cloud Storage, or transform messages")
	}
	if d := c.AckDeadlineSeconds; d < 10 || d > 600 {
		return nil, invalid("acknowledgement deadline of %d s: 10 to 600 are allowed", d)
	}
	if p := c.DeadLetterPolicy; p != nil {
		if p.MaxDeliveryAttempts == 0 {
			p.MaxDeliveryAttempts = 5
		}
		if p.MaxDeliveryAttempts < 5 || p.MaxDeliveryAttempts > 100 {
			return nil, invalid("max_delivery_attempts %d: 5 to 100 are allowed", p.MaxDeliveryAttempts)
		}
		if err := checkName(p.DeadLetterTopic, "topics"); err != nil {
			return nil, err
		}
	}
	if err := checkRetry(c.RetryPolicy); err != nil {
		return nil, err
	}
	if e := c.GetPushConfig().GetPushEndpoint(); e != "" {
		if u, err := url.Parse(e); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return nil, invalid("push endpoint %q is not an http or https URL", e)
		}
	}
	f, err := filter.Parse(c.Filter)
	if err != nil {
		return nil, invalid("%v", err)
	}
	return f, nil
}

func checkRetry(p *pb.RetryPolicy) error {
	if p == nil {
		return nil
	}
	if p.MinimumBackoff == nil {
		p.MinimumBackoff = durationpb.New(policyMinBackoff)
	}
	if p.MaximumBackoff == nil {
		p.MaximumBackoff = durationpb.New(policyMaxBackoff)
	}
	low, high := p.MinimumBackoff.AsDuration(), p.MaximumBackoff.AsDuration()
	if low < 0 || high > policyMaxBackoff || low > high {
		return invalid("retry policy of %v to %v: 0 <= minimum <= maximum <= %v", low, high, policyMaxBackoff)
	}
	return nil
}

func (r subscriber) GetSubscription(ctx context.Context, q *pb.GetSubscriptionRequest) (*pb.Subscription, error) {
	if err := r.s.o.Access.Check(ctx, "pubsub.subscriptions.get", q.Subscription); err != nil {
		return nil, err
	}
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	sub := r.s.subs[q.Subscription]
	if sub == nil {
		return nil, notFound("subscription", q.Subscription)
	}
	return sub.config, nil
}

func (r subscriber) UpdateSubscription(ctx context.Context, q *pb.UpdateSubscriptionRequest) (out *pb.Subscription, err error) {
	if err := r.s.o.Access.Check(ctx, "pubsub.subscriptions.update", q.GetSubscription().GetName()); err != nil {
		return nil, err
	}
	name := q.GetSubscription().GetName()
	err = r.s.change(func() ([]byte, error) {
		sub := r.s.subs[name]
		if sub == nil {
			return nil, notFound("subscription", name)
		}
		out = proto.CloneOf(sub.config)
		if err := applyMask(out, q.Subscription, q.UpdateMask, "name", "topic", "filter", "enable_message_ordering", "state"); err != nil {
			return nil, err
		}
		return r.s.reconfigure(sub, out)
	})
	return out, err
}

func (r subscriber) ModifyPushConfig(ctx context.Context, q *pb.ModifyPushConfigRequest) (*emptypb.Empty, error) {
	if err := r.s.o.Access.Check(ctx, "pubsub.subscriptions.update", q.Subscription); err != nil {
		return nil, err
	}
	return &emptypb.Empty{}, r.s.change(func() ([]byte, error) {
		sub := r.s.subs[q.Subscription]
		if sub == nil {
			return nil, notFound("subscription", q.Subscription)
		}
		c := proto.CloneOf(sub.config)
		c.PushConfig = q.PushConfig
		return r.s.reconfigure(sub, c)
	})
}

// reconfigure gives sub another configuration; the lock is held.
func (s *Server) reconfigure(sub *subscription, c *pb.Subscription) ([]byte, error) {
	f, err := checkSubscription(c)
	if err != nil {
		return nil, err
	}
	frame, err := appendSub(nil, sub.uid, c)
	if err != nil {
		return nil, invalid("%v", err)
	}
	s.applySub(sub.uid, c, f)
	if d := sub.probe; d != nil { // the new endpoint may be there already
		s.due.remove(d)
		s.ready(d)
	}
	sub.notify()
	s.pump(sub)
	return frame, nil
}

func (r subscriber) ListSubscriptions(ctx context.Context, q *pb.ListSubscriptionsRequest) (*pb.ListSubscriptionsResponse, error) {
	if err := r.s.o.Access.Check(ctx, "pubsub.subscriptions.list", q.Project); err != nil {
		return nil, err
	}
	if !projectName.MatchString(q.Project) {
		return nil, invalid("project %q: expected projects/PROJECT", q.Project)
	}
	r.s.mu.Lock()
	var subs []*pb.Subscription
	for name, sub := range r.s.subs {
		if strings.HasPrefix(name, q.Project+"/") {
			subs = append(subs, sub.config)
		}
	}
	r.s.mu.Unlock()
	subs, next, err := page(subs, (*pb.Subscription).GetName, q.PageSize, q.PageToken)
	return &pb.ListSubscriptionsResponse{Subscriptions: subs, NextPageToken: next}, err
}

func (r subscriber) ListSnapshots(context.Context, *pb.ListSnapshotsRequest) (*pb.ListSnapshotsResponse, error) {
	return &pb.ListSnapshotsResponse{}, nil
}

func (r subscriber) DeleteSubscription(ctx context.Context, q *pb.DeleteSubscriptionRequest) (*emptypb.Empty, error) {
	if err := r.s.o.Access.Check(ctx, "pubsub.subscriptions.delete", q.Subscription); err != nil {
		return nil, err
	}
	return &emptypb.Empty{}, r.s.change(func() ([]byte, error) {
		sub := r.s.subs[q.Subscription]
		if sub == nil {
			return nil, notFound("subscription", q.Subscription)
		}
		r.s.applyNoSub(sub.uid)
		return appendNoSub(nil, sub.uid), nil
	})
}
