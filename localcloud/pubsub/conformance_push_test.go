package pubsub_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/google/go-cmp/cmp"
)

// inbox is a push endpoint that answers with the next of codes, the last one for ever.
type inbox struct {
	*httptest.Server
	got chan map[string]any
}

func newInbox(t *testing.T, codes ...int) inbox {
	in := inbox{got: make(chan map[string]any, 100)}
	var mu sync.Mutex
	in.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body map[string]any
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			t.Errorf("push body: %v", err)
		}
		mu.Lock()
		code := codes[0]
		if len(codes) > 1 {
			codes = codes[1:]
		}
		mu.Unlock()
		w.WriteHeader(code)
		in.got <- body
	}))
	t.Cleanup(in.Close)
	return in
}

// next is the next request's body; a server that does not push fails the test.
func (in inbox) next(t *testing.T) map[string]any {
	t.Helper()
	select {
	case body := <-in.got:
		return body
	case <-time.After(2 * time.Minute):
		t.Fatal("nothing was pushed")
		return nil
	}
}

func push(s service) {
	in := newInbox(s.t, http.StatusNoContent)
	topic := s.topic("topic")
	sub := s.subscription(&pb.Subscription{Name: "sub", Topic: topic, PushConfig: &pb.PushConfig{PushEndpoint: in.URL}})
	ids := s.publish(topic, &pb.PubsubMessage{Data: []byte("x"), Attributes: map[string]string{"k": "v"}})
	body := in.next(s.t)
	m := body["message"].(map[string]any)
	got := map[string]any{"subscription": body["subscription"], "messageId": m["messageId"], "message_id": m["message_id"], "data": m["data"], "attributes": m["attributes"], "attempt": body["deliveryAttempt"]}
	want := map[string]any{"subscription": sub, "messageId": ids[0], "message_id": ids[0],
		"data": base64.StdEncoding.EncodeToString([]byte("x")), "attributes": map[string]any{"k": "v"}, "attempt": nil}
	if diff := cmp.Diff(want, got); diff != "" {
		s.t.Errorf("push body (-want +got):\n%s", diff)
	}
	for _, k := range []string{"publishTime", "publish_time"} {
		if _, err := time.Parse(time.RFC3339Nano, m[k].(string)); err != nil {
			s.t.Errorf("%s: %v", k, err)
		}
	}
}

func pushRetries(s service) {
	in := newInbox(s.t, http.StatusServiceUnavailable, http.StatusFound, http.StatusOK)
	topic := s.topic("topic")
	s.subscription(&pb.Subscription{Name: "sub", Topic: topic, PushConfig: &pb.PushConfig{PushEndpoint: in.URL}})
	ids := s.publish(topic, &pb.PubsubMessage{Data: []byte("x")})
	for range 3 {
		if got := in.next(s.t)["message"].(map[string]any)["messageId"]; got != ids[0] {
			s.t.Errorf("message %v, want %s", got, ids[0])
		}
	}
	select {
	case again := <-in.got:
		s.t.Errorf("came again after it was accepted: %v", again)
	default:
	}
}

func modifyPushConfig(s service) {
	in := newInbox(s.t, http.StatusOK)
	topic := s.topic("topic")
	sub := s.subscription(&pb.Subscription{Name: "sub", Topic: topic})
	s.publish(topic, &pb.PubsubMessage{Data: []byte("waits")})
	set := func(c *pb.PushConfig) {
		s.t.Helper()
		if err := s.c.SubscriptionAdminClient.ModifyPushConfig(s.t.Context(), &pb.ModifyPushConfigRequest{Subscription: sub, PushConfig: c}); err != nil {
			s.t.Fatal(err)
		}
	}
	set(&pb.PushConfig{PushEndpoint: in.URL})
	in.next(s.t)
	set(&pb.PushConfig{})
	s.publish(topic, &pb.PubsubMessage{Data: []byte("pulled")})
	if diff := cmp.Diff([]string{"pulled"}, data(s.pull(sub, 1))); diff != "" {
		s.t.Errorf("data (-want +got):\n%s", diff)
	}
}

func deletedTopic(s service) {
	ctx := s.t.Context()
	topic := s.topic("topic")
	sub := s.subscription(&pb.Subscription{Name: "sub", Topic: topic})
	s.publish(topic, &pb.PubsubMessage{Data: []byte("kept")})
	if err := s.c.TopicAdminClient.DeleteTopic(ctx, &pb.DeleteTopicRequest{Topic: topic}); err != nil {
		s.t.Fatal(err)
	}
	got, err := s.c.SubscriptionAdminClient.GetSubscription(ctx, &pb.GetSubscriptionRequest{Subscription: sub})
	if err != nil || got.Topic != "_deleted-topic_" {
		s.t.Errorf("topic of the subscription: %q, %v", got.GetTopic(), err)
	}
	if diff := cmp.Diff([]string{"kept"}, data(s.pull(sub, 1))); diff != "" {
		s.t.Errorf("data (-want +got):\n%s", diff)
	}
	s.topic("topic") // anew: the old subscription is not its
	s.publish(topic, &pb.PubsubMessage{Data: []byte("new")})
	s.empty(sub)
}
