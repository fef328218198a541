package pubsub

import (
	"strconv"
	"time"

	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/protobuf/proto"

	"github.com/litterloop/litterloop/localcloud/pubsub/internal/filter"
	"github.com/litterloop/litterloop/localcloud/pubsub/internal/journal"
)

// Functions here are called with the server's lock held, or before it serves.

// Back-off of a push subscription without a retry policy. Pub/Sub slows down
// the whole subscription instead; its bounds are these.
const (
	defaultMinBackoff = 100 * time.Millisecond
	defaultMaxBackoff = 60 * time.Second
)

// Bounds of a retry policy that leaves them out, as in Pub/Sub.
const (
	policyMinBackoff = 10 * time.Second
	policyMaxBackoff = 600 * time.Second
)

func (s *Server) applyTopic(c *pb.Topic) {
	t := s.topics[c.Name]
	if t == nil {
		t = &topic{}
		s.topics[c.Name] = t
	}
	t.config = c
}

// deletedTopic is what a subscription names when its topic is gone.
const deletedTopic = "_deleted-topic_"

func (s *Server) applyNoTopic(name string) {
	t := s.topics[name]
	if t == nil {
		return
	}
	delete(s.topics, name)
	for _, sub := range t.subs {
		c := proto.CloneOf(sub.config)
		c.Topic = deletedTopic
		sub.config = c
	}
}

func (s *Server) applySub(uid uint64, c *pb.Subscription, f filter.Filter) *subscription {
	sub := s.byUID[uid]
	if sub == nil {
		sub = &subscription{uid: uid, owed: map[uint64]*delivery{}, window: 1, filter: f}
		s.byUID[uid], s.subs[c.Name] = sub, sub
		s.lastUID = max(s.lastUID, uid)
		if t := s.topics[c.Topic]; t != nil {
			t.subs = append(t.subs, sub)
		}
	}
	sub.config = c
	return sub
}

func (s *Server) applyNoSub(uid uint64) {
	sub := s.byUID[uid]
	if sub == nil {
		return
	}
	for _, d := range sub.owed {
		s.settle(d)
	}
	delete(s.byUID, uid)
	delete(s.subs, sub.config.Name)
	if t := s.topics[sub.config.Topic]; t != nil {
		t.subs = remove(t.subs, sub)
	}
	sub.notify()
}

func remove(subs []*subscription, gone *subscription) []*subscription {
	kept := make([]*subscription, 0, len(subs))
	for _, sub := range subs {
		if sub != gone {
			kept = append(kept, sub)
		}
	}
	return kept
}

// applyPublish makes m owed to the subscriptions that want it.
func (s *Server) applyPublish(m *message, uids []uint64) {
	for _, uid := range uids {
		sub := s.byUID[uid]
		if sub == nil || sub.owed[m.id] != nil {
			continue
		}
		d := &delivery{sub: sub, message: m}
		sub.owed[m.id] = d
		sub.count.published++
		if f := s.o.Faults; f.Delay > 0 && s.rand.Float64() < f.Delay {
			s.schedule(d, s.o.Now().Add(time.Duration(s.rand.Int64N(int64(f.MaxDelay)+1))))
			continue
		}
		s.ready(d)
	}
}

// ready puts d into the backlog and wakes who waits for it.
func (s *Server) ready(d *delivery) {
	d.state = queued
	if d.sub.probe == d {
		d.sub.probe = nil
		d.sub.backlog.addFirst(d)
	} else {
		d.sub.backlog.add(d)
	}
	if f := s.o.Faults; f.Reorder > 0 && s.rand.Float64() < f.Reorder {
		d.sub.backlog.shuffleLast(s.rand)
	}
	d.sub.notify()
	s.pump(d.sub)
}

// lease gives d to a subscriber until the deadline passes.
func (s *Server) lease(d *delivery, deadline time.Duration) {
	d.state = leased
	d.lease++
	d.sub.count.delivered++
	s.schedule(d, s.o.Now().Add(deadline))
}

// settle forgets d: it is owed no more. A nil or settled one stays as it is.
func (s *Server) settle(d *delivery) bool {
	if d == nil || d.state == settled {
		return false
	}
	s.due.remove(d)
	delete(d.sub.owed, d.message.id)
	d.state = settled
	if d.sub.probe == d {
		d.sub.probe = nil
	}
	d.sub.roomier()
	return true
}

// acknowledge settles what a subscriber is done with and records it.
func (s *Server) acknowledge(sub *subscription, ids []uint64) journal.Position {
	done := ids[:0]
	for _, id := range ids {
		d := sub.owed[id]
		if d == nil {
			continue // acknowledged before: harmless
		}
		if f := s.o.Faults; f.Duplicate > 0 && !d.repeat && s.rand.Float64() < f.Duplicate {
			d.repeat = true
			s.due.remove(d)
			s.ready(d)
			continue
		}
		if s.settle(d) {
			done = append(done, id)
		}
	}
	if len(done) == 0 {
		return 0
	}
	sub.count.acked += len(done)
	return s.journal.Append(appendAck(nil, sub.uid, done))
}

// fail counts an attempt that was not acknowledged, and plans the next one or
// moves the message to the dead-letter topic.
func (s *Server) fail(d *delivery, why string) journal.Position {
	sub := d.sub
	d.failures++
	sub.count.retried++
	s.due.remove(d)
	if p := sub.config.DeadLetterPolicy; p != nil && d.failures >= int(p.MaxDeliveryAttempts) {
		if err := s.mayDeadLetter(sub, p.DeadLetterTopic); err != nil {
			sub.count.lastError = err.Error()
			s.o.Log.Error("pubsub: Pub/Sub's own account may not move this dead letter, trying on; grant it that", "subscription", sub.config.Name,
				"message", d.message.MessageId, "error", err)
		} else if at, ok := s.deadLetter(d, p.DeadLetterTopic); ok {
			s.o.Log.Warn("pubsub: moved to the dead-letter topic", "subscription", sub.config.Name,
				"message", d.message.MessageId, "attempts", d.failures, "topic", p.DeadLetterTopic, "reason", why)
			return at
		} else {
			s.o.Log.Error("pubsub: the dead-letter topic is gone, trying on; create it", "subscription", sub.config.Name,
				"message", d.message.MessageId, "topic", p.DeadLetterTopic)
		}
	}
	now := s.o.Now()
	next := now.Add(sub.backoff(d.failures))
	at := s.journal.Append(appendFail(nil, sub.uid, d.message.id, d.failures, next))
	if next.After(now) {
		d.state = waiting
		s.schedule(d, next)
		sub.roomier()
	} else {
		s.ready(d)
	}
	return at
}

// backoff is how long to wait after so many failures: twice as long each time.
func (sub *subscription) backoff(failures int) time.Duration {
	low, high := time.Duration(0), time.Duration(0)
	if p := sub.config.RetryPolicy; p != nil {
		low, high = policyMinBackoff, policyMaxBackoff
		if p.MinimumBackoff != nil {
			low = p.MinimumBackoff.AsDuration()
		}
		if p.MaximumBackoff != nil {
			high = p.MaximumBackoff.AsDuration()
		}
	} else if sub.push() {
		low, high = defaultMinBackoff, defaultMaxBackoff
	}
	for ; failures > 1 && low < high; failures-- {
		low *= 2
	}
	return min(low, high)
}

// take leases up to n messages and bytes from the backlog; the first message is
// given whatever its size.
func (s *Server) take(sub *subscription, n, bytes int, deadline time.Duration) []*delivery {
	var out []*delivery
	for len(out) < n {
		d := sub.backlog.peek()
		if d == nil || len(out) > 0 && d.message.size > bytes {
			break
		}
		sub.backlog.next()
		bytes -= d.message.size
		s.lease(d, deadline)
		out = append(out, d)
	}
	return out
}

func (d *delivery) received() *pb.ReceivedMessage {
	r := &pb.ReceivedMessage{AckId: formatAckID(d.message.id, d.lease), Message: d.message.PubsubMessage}
	if d.sub.config.DeadLetterPolicy != nil {
		r.DeliveryAttempt = int32(d.failures + 1)
	}
	return r
}

func formatID(id uint64) string { return strconv.FormatUint(id, 10) }
