package pubsub_test

import (
	"context"
	"fmt"
	"sync"
	"time"

	gpubsub "cloud.google.com/go/pubsub/v2"
	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/durationpb"
)

func publishAndPull(s service) {
	topic := s.topic("topic")
	one := s.subscription(&pb.Subscription{Name: "one", Topic: topic})
	two := s.subscription(&pb.Subscription{Name: "two", Topic: topic})
	before := time.Now().Add(-time.Second)
	ids := s.publish(topic,
		&pb.PubsubMessage{Data: []byte("both"), Attributes: map[string]string{"k": "v", "ü": "\u0000 \"\n"}},
		&pb.PubsubMessage{Data: []byte{0, 0xff, 0xfe}},
		&pb.PubsubMessage{Attributes: map[string]string{"only": "attributes"}})
	for _, sub := range []string{one, two} {
		got := s.pull(sub, 3)
		byID := map[string]*pb.PubsubMessage{}
		for _, m := range got {
			byID[m.Message.MessageId] = m.Message
			if at := m.Message.PublishTime.AsTime(); at.Before(before) || at.After(time.Now().Add(time.Second)) {
				s.t.Errorf("published at %v", at)
			}
			if m.DeliveryAttempt != 0 {
				s.t.Errorf("attempt %d without a dead-letter policy, want 0", m.DeliveryAttempt)
			}
		}
		first := byID[ids[0]]
		if diff := cmp.Diff(map[string]string{"k": "v", "ü": "\u0000 \"\n"}, first.GetAttributes()); diff != "" || string(first.GetData()) != "both" {
			s.t.Errorf("data %q, attributes (-want +got):\n%s", first.GetData(), diff)
		}
		if got := byID[ids[1]].GetData(); string(got) != "\x00\xff\xfe" {
			s.t.Errorf("bytes = %q", got)
		}
		if got := byID[ids[2]].GetAttributes()["only"]; got != "attributes" {
			s.t.Errorf("message without data: attribute %q", got)
		}
		s.ack(sub, got...)
		s.ack(sub, got...) // twice does no harm
		s.empty(sub)
	}
}

func onlyWhatComesAfter(s service) {
	topic := s.topic("topic")
	s.publish(topic, &pb.PubsubMessage{Data: []byte("before")})
	sub := s.subscription(&pb.Subscription{Name: "sub", Topic: topic})
	s.publish(topic, &pb.PubsubMessage{Data: []byte("after")})
	if diff := cmp.Diff([]string{"after"}, data(s.pull(sub, 1))); diff != "" {
		s.t.Errorf("data (-want +got):\n%s", diff)
	}
	s.empty(sub)
}

func filters(s service) {
	topic := s.topic("topic")
	sub := s.subscription(&pb.Subscription{Name: "sub", Topic: topic,
		Filter: `attributes.eventType = "OBJECT_FINALIZE" AND NOT hasPrefix(attributes.objectId, "rejected/")`})
	for _, id := range []string{"batch/1.jpg", "rejected/1.jpg", "batch/2.jpg"} {
		s.publish(topic, &pb.PubsubMessage{Data: []byte(id), Attributes: map[string]string{"eventType": "OBJECT_FINALIZE", "objectId": id}})
	}
	s.publish(topic, &pb.PubsubMessage{Data: []byte("deleted"), Attributes: map[string]string{"eventType": "OBJECT_DELETE", "objectId": "batch/1.jpg"}})
	if diff := cmp.Diff([]string{"batch/1.jpg", "batch/2.jpg"}, data(s.pull(sub, 2))); diff != "" {
		s.t.Errorf("data (-want +got):\n%s", diff)
	}
	s.empty(sub)
}

func givenBack(s service) {
	topic := s.topic("topic")
	sub := s.subscription(&pb.Subscription{Name: "sub", Topic: topic})
	ids := s.publish(topic, &pb.PubsubMessage{Data: []byte("x")})
	for range 3 {
		m := s.pull(sub, 1)[0]
		if m.Message.MessageId != ids[0] {
			s.t.Errorf("message %s, want %s again", m.Message.MessageId, ids[0])
		}
		s.giveBack(sub, m)
	}
	s.ack(sub, s.pull(sub, 1)...)
	s.empty(sub)
}

func deadLetters(s service) {
	topic, dead := s.topic("topic"), s.topic("dead")
	deadSub := s.subscription(&pb.Subscription{Name: "dead", Topic: dead})
	sub := s.subscription(&pb.Subscription{Name: "source", Topic: topic,
		DeadLetterPolicy: &pb.DeadLetterPolicy{DeadLetterTopic: dead, MaxDeliveryAttempts: 5}})
	s.publish(topic, &pb.PubsubMessage{Data: []byte("bad"), Attributes: map[string]string{"id": "7"}})
	for i := range 5 {
		m := s.pull(sub, 1)[0]
		if m.DeliveryAttempt != int32(i+1) {
			s.t.Errorf("attempt %d, want %d", m.DeliveryAttempt, i+1)
		}
		s.giveBack(sub, m)
	}
	m := s.pull(deadSub, 1)[0].Message
	if string(m.Data) != "bad" || m.Attributes["id"] != "7" {
		s.t.Errorf("dead letter: data %q, attributes %v", m.Data, m.Attributes)
	}
	if got := m.Attributes["CloudPubSubDeadLetterSourceSubscription"]; got != "source" {
		s.t.Errorf("source subscription %q", got)
	}
	if got := m.Attributes["CloudPubSubDeadLetterSourceDeliveryCount"]; got != "5" {
		s.t.Errorf("delivery count %q", got)
	}
	s.empty(sub)
	s.empty(deadSub)
}

func streaming(s service) {
	const n = 50
	topic := s.topic("topic")
	sub := s.subscription(&pb.Subscription{Name: "sub", Topic: topic})
	for i := range n / 10 {
		var ms []*pb.PubsubMessage
		for j := range 10 {
			ms = append(ms, &pb.PubsubMessage{Data: fmt.Append(nil, i*10+j)})
		}
		s.publish(topic, ms...)
	}
	ctx, cancel := context.WithTimeout(s.t.Context(), 2*time.Minute)
	defer cancel()
	var mu sync.Mutex
	seen, now, most := map[string]bool{}, 0, 0
	r := s.c.Subscriber(sub)
	r.ReceiveSettings.MaxOutstandingMessages = 10
	err := r.Receive(ctx, func(_ context.Context, m *gpubsub.Message) {
		mu.Lock()
		now++
		most = max(most, now)
		mu.Unlock()
		m.Ack()
		mu.Lock()
		defer mu.Unlock()
		now--
		if seen[string(m.Data)] = true; len(seen) == n {
			cancel()
		}
	})
	if err != nil || len(seen) != n || most > 10 {
		s.t.Errorf("%d of %d seen, at most %d at once; %v", len(seen), n, most, err)
	}
}

func retryPolicy(s service) {
	topic := s.topic("topic")
	sub := s.subscription(&pb.Subscription{Name: "sub", Topic: topic,
		RetryPolicy: &pb.RetryPolicy{MinimumBackoff: durationpb.New(300 * time.Millisecond), MaximumBackoff: durationpb.New(time.Second)}})
	s.publish(topic, &pb.PubsubMessage{Data: []byte("x")})
	m := s.pull(sub, 1)[0]
	s.giveBack(sub, m)
	s.empty(sub)
	s.pull(sub, 1) // comes when its time has come
}
