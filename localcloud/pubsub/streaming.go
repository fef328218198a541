package pubsub

import (
	"context"
	"errors"
	"io"
	"math"
	"time"

	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
)

// StreamingPull sends messages as they come, no more at once than the client's
// flow control allows, and takes acknowledgements on the same stream.
func (r subscriber) StreamingPull(stream pb.Subscriber_StreamingPullServer) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	if first.Subscription == "" {
		return invalid("the first request of a stream names the subscription")
	}
	if err := r.s.o.Access.Check(stream.Context(), "pubsub.subscriptions.consume", first.Subscription); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(stream.Context())
	defer cancel(nil)
	go func() { cancel(r.receive(stream, first)) }()

	out := &outgoing{s: r.s, first: first}
	for {
		res, changed, err := out.next()
		if err != nil {
			return err
		}
		if res != nil {
			if err := stream.Send(res); err != nil {
				return err
			}
			continue
		}
		select {
		case <-changed:
		case <-ctx.Done():
			if err := context.Cause(ctx); !errors.Is(err, io.EOF) && !errors.Is(err, context.Canceled) {
				return err
			}
			return nil
		case <-r.s.ctx.Done():
		}
	}
}

// receive handles what the client sends until it stops; the error says why.
func (r subscriber) receive(stream pb.Subscriber_StreamingPullServer, q *pb.StreamingPullRequest) error {
	name := q.Subscription
	for {
		if len(q.AckIds) > 0 {
			if err := r.s.ack(name, q.AckIds); err != nil {
				return err
			}
		}
		if len(q.ModifyDeadlineAckIds) > 0 {
			if err := r.s.modifyDeadlines(name, q.ModifyDeadlineAckIds, q.ModifyDeadlineSeconds); err != nil {
				return err
			}
		}
		var err error
		if q, err = stream.Recv(); err != nil {
			return err
		}
	}
}

// outgoing keeps account of what one stream's client holds.
type outgoing struct {
	s     *Server
	first *pb.StreamingPullRequest
	held  []heldLease
}

type heldLease struct {
	d     *delivery
	lease uint64
}

// maxResponse bounds one streamed response, so that the first message of many
// is not held up by the last.
const maxResponse = 500

// next leases what the client has room for. With nothing to send it returns a
// channel that is closed when that may have changed.
func (o *outgoing) next() (*pb.StreamingPullResponse, <-chan struct{}, error) {
	o.s.mu.Lock()
	defer o.s.mu.Unlock()
	sub, err := o.s.pulled(o.first.Subscription)
	if err != nil {
		return nil, nil, err
	}
	n, bytes := o.room()
	deadline := sub.ackDeadline()
	if o.first.StreamAckDeadlineSeconds > 0 {
		deadline = time.Duration(o.first.StreamAckDeadlineSeconds) * time.Second
	}
	res := &pb.StreamingPullResponse{SubscriptionProperties: &pb.StreamingPullResponse_SubscriptionProperties{}}
	for _, d := range o.s.take(sub, min(n, maxResponse), min(bytes, maxPullBytes), deadline) {
		o.held = append(o.held, heldLease{d, d.lease})
		res.ReceivedMessages = append(res.ReceivedMessages, d.received())
	}
	if len(res.ReceivedMessages) > 0 {
		return res, nil, nil
	}
	return nil, sub.changed(), nil
}

// room is how many messages and bytes the client takes now; a limit of 0 or
// less is none.
func (o *outgoing) room() (n, bytes int) {
	kept := o.held[:0]
	n, bytes = math.MaxInt, math.MaxInt
	if limit := o.first.MaxOutstandingMessages; limit > 0 {
		n = int(limit)
	}
	if limit := o.first.MaxOutstandingBytes; limit > 0 {
		bytes = int(limit)
	}
	for _, h := range o.held {
		if h.d.state == leased && h.d.lease == h.lease {
			kept = append(kept, h)
			n--
			bytes -= h.d.message.size
		}
	}
	clear(o.held[len(kept):])
	o.held = kept
	if bytes <= 0 {
		n = 0
	}
	return max(n, 0), bytes
}
