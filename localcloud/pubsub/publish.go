package pubsub

import (
	"context"
	"strings"

	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// Publish adds one message to the topic "projects/P/topics/T" and returns once
// it is durable for every subscription that wants it. Errors are gRPC statuses:
// NotFound when there is no such topic; Unavailable when the journal cannot be
// written, after which the message may or may not be delivered.
func (s *Server) Publish(_ context.Context, topic string, attributes map[string]string, data []byte) error {
	_, err := s.publish(topic, []*pb.PubsubMessage{{Data: data, Attributes: attributes}})
	return err
}

// publish takes ownership of ms and returns their ids.
func (s *Server) publish(topicName string, ms []*pb.PubsubMessage) ([]string, error) {
	encoded, err := encodeMessages(ms)
	if err != nil {
		return nil, err
	}
	ids := make([]string, len(ms))
	s.mu.Lock()
	if err := s.open(); err != nil {
		s.mu.Unlock()
		return nil, err
	}
	t := s.topics[topicName]
	if t == nil {
		s.mu.Unlock()
		return nil, notFound("topic", topicName)
	}
	var frame []byte
	for i, m := range ms {
		frame = s.enqueue(frame, t, m, encoded[i])
		ids[i] = m.MessageId
	}
	if len(frame) == 0 { // nobody wants them
		s.mu.Unlock()
		return ids, nil
	}
	at := s.journal.Append(frame)
	s.mu.Unlock()
	if err := s.commit(at); err != nil {
		return nil, unavailable(err)
	}
	if s.o.Faults.AfterCommit != nil {
		s.o.Faults.AfterCommit()
	}
	return ids, nil
}

// open refuses what arrives after Close; the lock is held.
func (s *Server) open() error {
	if s.closed {
		return status.Error(codes.Unavailable, "the local Pub/Sub is shutting down")
	}
	return nil
}

// encodeMessages checks Pub/Sub's limits and encodes for the journal.
func encodeMessages(ms []*pb.PubsubMessage) ([][]byte, error) {
	if len(ms) == 0 || len(ms) > maxPublishCount {
		return nil, invalid("a publish request holds 1 to %d messages, this one %d", maxPublishCount, len(ms))
	}
	out, total := make([][]byte, len(ms)), 0
	for i, m := range ms {
		if m == nil || len(m.Data) == 0 && len(m.Attributes) == 0 {
			return nil, invalid("message %d is empty: it needs data or an attribute", i)
		}
		if err := checkAttributes(m.Attributes); err != nil {
			return nil, err
		}
		m.MessageId, m.PublishTime = "", nil
		p, err := proto.Marshal(m)
		if err != nil {
			return nil, invalid("message %d: %v", i, err)
		}
		out[i] = p
		total += len(p)
	}
	if total > maxPublishBytes {
		return nil, invalid("a publish request of %d bytes: at most %d are allowed", total, maxPublishBytes)
	}
	return out, nil
}

func checkAttributes(attributes map[string]string) error {
	if len(attributes) > maxAttributes {
		return invalid("%d attributes: at most %d are allowed", len(attributes), maxAttributes)
	}
	for k, v := range attributes {
		switch {
		case k == "" || len(k) > maxAttributeKey:
			return invalid("attribute key %.40q: 1 to %d bytes are allowed", k, maxAttributeKey)
		case len(v) > maxAttributeValue:
			return invalid("attribute %q has %d bytes: at most %d are allowed", k, len(v), maxAttributeValue)
		case strings.HasPrefix(k, "goog") && !strings.HasPrefix(k, "googclient_"): // the client libraries' own traces
			return invalid("attribute key %q: keys may not begin with goog", k)
		}
	}
	return nil
}
