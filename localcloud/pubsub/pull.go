package pubsub

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/litterloop/litterloop/localcloud/pubsub/internal/journal"
)

// pullWait is how long a Pull waits for a first message before it answers with
// none, as the service does when the client sets no deadline of its own.
const pullWait = 90 * time.Second

// maxPullBytes keeps a response under the 4 MiB that gRPC clients take by
// default, unless one message alone is larger.
const maxPullBytes = 3 << 20

// pulled finds a subscription that may be pulled; the lock is held.
func (s *Server) pulled(name string) (*subscription, error) {
	sub := s.subs[name]
	switch {
	case s.closed:
		return nil, s.open()
	case sub == nil:
		return nil, notFound("subscription", name)
	case sub.push():
		return nil, status.Errorf(codes.FailedPrecondition, "subscription %q is pushed to %s and cannot be pulled", name, sub.config.PushConfig.PushEndpoint)
	}
	return sub, nil
}

func (r subscriber) Pull(ctx context.Context, q *pb.PullRequest) (*pb.PullResponse, error) {
	if err := r.s.o.Access.Check(ctx, "pubsub.subscriptions.consume", q.Subscription); err != nil {
		return nil, err
	}
	if q.MaxMessages <= 0 {
		return nil, invalid("max_messages %d: at least 1", q.MaxMessages)
	}
	ctx, cancel := context.WithTimeout(ctx, pullWait)
	defer cancel()
	for {
		r.s.mu.Lock()
		sub, err := r.s.pulled(q.Subscription)
		if err != nil {
			r.s.mu.Unlock()
			return nil, err
		}
		res := &pb.PullResponse{}
		for _, d := range r.s.take(sub, min(int(q.MaxMessages), maxPublishCount), maxPullBytes, sub.ackDeadline()) {
			res.ReceivedMessages = append(res.ReceivedMessages, d.received())
		}
		changed := sub.changed()
		r.s.mu.Unlock()
		//lint:ignore SA1019 clients still send it
		if len(res.ReceivedMessages) > 0 || q.ReturnImmediately {
			return res, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return res, nil
		case <-r.s.ctx.Done():
		}
	}
}

func (r subscriber) Acknowledge(ctx context.Context, q *pb.AcknowledgeRequest) (*emptypb.Empty, error) {
	if err := r.s.o.Access.Check(ctx, "pubsub.subscriptions.consume", q.Subscription); err != nil {
		return nil, err
	}
	return &emptypb.Empty{}, r.s.ack(q.Subscription, q.AckIds)
}

func (s *Server) ack(name string, ackIDs []string) error {
	ids := make([]uint64, len(ackIDs))
	for i, a := range ackIDs {
		id, _, err := parseAckID(a)
		if err != nil {
			return err
		}
		ids[i] = id
	}
	return s.settleFor(name, func(sub *subscription) journal.Position { return s.acknowledge(sub, ids) })
}

func (r subscriber) ModifyAckDeadline(ctx context.Context, q *pb.ModifyAckDeadlineRequest) (*emptypb.Empty, error) {
	if err := r.s.o.Access.Check(ctx, "pubsub.subscriptions.consume", q.Subscription); err != nil {
		return nil, err
	}
	deadlines := make([]int32, len(q.AckIds))
	for i := range deadlines {
		deadlines[i] = q.AckDeadlineSeconds
	}
	return &emptypb.Empty{}, r.s.modifyDeadlines(q.Subscription, q.AckIds, deadlines)
}

// modifyDeadlines prolongs leases; a deadline of 0 gives the message back.
func (s *Server) modifyDeadlines(name string, ackIDs []string, seconds []int32) error {
	if len(ackIDs) != len(seconds) {
		return invalid("%d acknowledgement ids with %d deadlines", len(ackIDs), len(seconds))
	}
	return s.settleFor(name, func(sub *subscription) journal.Position {
		var last journal.Position
		for i, a := range ackIDs {
			id, lease, err := parseAckID(a)
			d := sub.owed[id]
			if err != nil || d == nil || d.state != leased || d.lease != lease {
				continue // acknowledged, or its lease ended already
			}
			if seconds[i] <= 0 {
				last = max(last, s.fail(d, "the subscriber gave it back"))
				continue
			}
			s.schedule(d, s.o.Now().Add(time.Duration(min(seconds[i], 600))*time.Second))
		}
		return last
	})
}

// settleFor runs f on a subscription and commits what it recorded.
func (s *Server) settleFor(name string, f func(*subscription) journal.Position) error {
	s.mu.Lock()
	sub := s.subs[name]
	err := s.open()
	if err == nil && sub == nil {
		err = notFound("subscription", name)
	}
	if err != nil {
		s.mu.Unlock()
		return err
	}
	at := f(sub)
	s.mu.Unlock()
	if at == 0 {
		return nil
	}
	if err := s.commit(at); err != nil {
		return unavailable(err)
	}
	return nil
}

// An acknowledgement id is "MESSAGE-LEASE". The message alone decides what is
// acknowledged, so an id from before a restart still counts.
func formatAckID(id, lease uint64) string { return fmt.Sprintf("%d-%d", id, lease) }

func parseAckID(s string) (id, lease uint64, err error) {
	a, b, ok := strings.Cut(s, "-")
	id, err1 := strconv.ParseUint(a, 10, 64)
	lease, err2 := strconv.ParseUint(b, 10, 64)
	if !ok || err1 != nil || err2 != nil {
		return 0, 0, invalid("acknowledgement id %.40q is not one of ours", s)
	}
	return id, lease, nil
}
