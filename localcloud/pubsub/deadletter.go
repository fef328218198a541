package pubsub

import (
	"maps"
	"path"
	"strconv"
	"strings"
	"time"

	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/protobuf/proto"

	"github.com/litterloop/litterloop/localcloud/pubsub/internal/journal"
)

// Attributes that a dead letter gains, as Pub/Sub sets them.
const (
	deadLetterSubscription  = "CloudPubSubDeadLetterSourceSubscription"
	deadLetterProject       = "CloudPubSubDeadLetterSourceSubscriptionProject"
	deadLetterDeliveryCount = "CloudPubSubDeadLetterSourceDeliveryCount"
	deadLetterPublishTime   = "CloudPubSubDeadLetterSourceTopicPublishTime"
)

// deadLetter publishes d to the dead-letter topic and settles it, in one
// record, so that a crash neither loses nor doubles it. ok is false when the
// topic does not exist; then nothing happened.
func (s *Server) deadLetter(d *delivery, topicName string) (at journal.Position, ok bool) {
	t := s.topics[topicName]
	if t == nil {
		return 0, false
	}
	_, project, _ := strings.Cut(d.sub.config.Name, "projects/")
	project, _, _ = strings.Cut(project, "/")
	m := &pb.PubsubMessage{
		Data:        d.message.Data,
		OrderingKey: d.message.OrderingKey,
		Attributes:  maps.Clone(d.message.Attributes),
	}
	if m.Attributes == nil {
		m.Attributes = map[string]string{}
	}
	m.Attributes[deadLetterSubscription] = path.Base(d.sub.config.Name)
	m.Attributes[deadLetterProject] = project
	m.Attributes[deadLetterDeliveryCount] = strconv.Itoa(d.failures)
	m.Attributes[deadLetterPublishTime] = d.message.PublishTime.AsTime().Format(time.RFC3339Nano)
	encoded, err := proto.Marshal(m)
	if err != nil {
		return 0, false
	}
	frame := appendAck(nil, d.sub.uid, []uint64{d.message.id})
	s.settle(d)
	d.sub.count.dead++
	frame = s.enqueue(frame, t, m, encoded)
	return s.journal.Append(frame), true
}

// mayDeadLetter tells why Pub/Sub's own account may not move a subscription's
// messages to the topic; nil when it may.
func (s *Server) mayDeadLetter(sub *subscription, topic string) error {
	if err := s.o.Access.Allowed(s.o.Agent, "pubsub.topics.publish", topic); err != nil {
		return err
	}
	return s.o.Access.Allowed(s.o.Agent, "pubsub.subscriptions.consume", sub.config.Name)
}

// enqueue gives a message its id, appends its record to frame, and makes it
// owed to the topic's subscriptions that want it. The lock is held.
func (s *Server) enqueue(frame []byte, t *topic, m *pb.PubsubMessage, encoded []byte) []byte {
	s.lastID++
	at := s.o.Now()
	msg := newMessage(s.lastID, at, m, len(encoded))
	uids := make([]uint64, 0, 8)
	for _, sub := range t.subs {
		if sub.filter.Match(m.Attributes) {
			uids = append(uids, sub.uid)
		}
	}
	if len(uids) == 0 {
		return frame
	}
	frame = appendPublish(frame, msg.id, at, uids, encoded)
	s.applyPublish(msg, uids)
	return frame
}
