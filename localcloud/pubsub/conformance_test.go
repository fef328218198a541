package pubsub_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	gpubsub "cloud.google.com/go/pubsub/v2"
	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"cloud.google.com/go/pubsub/v2/pstest"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/api/iterator"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/litterloop/litterloop/localcloud/pubsub"
	"github.com/litterloop/litterloop/shared/bus/bustest"
)

// The suite says what Pub/Sub does, as far as the loop relies on it. It runs on
// this server, on Google's fake and, where the machine has it, on Google's
// emulator. Where those two differ from Pub/Sub's documentation, the difference
// is named here; this server has none.
var (
	pstestFlaws = map[string]string{ // version 2.8.1
		"a retry policy delays":      "keeps the policy and ignores it",
		"dead letters":               "publishes them without their attributes, and again for every further attempt",
		"faulty requests":            "takes empty messages, short names and any number of attempts",
		"from pull to push and back": "ModifyPushConfig is not implemented",
		"push":                       "does not push",
		"push until it is accepted":  "does not push",
		"subscriptions":              "the default acknowledgement deadline is 0",
	}
	emulatorFlaws = map[string]string{ // version 0.8.20
		"a retry policy delays": "keeps the policy and ignores it",
		"dead letters":          "keeps the policy and never moves a message",
		"faulty requests":       "takes any filter; four attempts are OUT_OF_RANGE",
		"filters":               "keeps the filter and ignores it",
		"topics":                "knows no labels",
	}
)

// service is one Pub/Sub under test, in a project of its own.
type service struct {
	t       *testing.T
	c       *gpubsub.Client
	project string
}

var conformance = map[string]func(s service){
	"topics":                      topics,
	"subscriptions":               subscriptions,
	"faulty requests":             faultyRequests,
	"publish and pull":            publishAndPull,
	"only what comes after":       onlyWhatComesAfter,
	"filters":                     filters,
	"given back, comes again":     givenBack,
	"dead letters":                deadLetters,
	"push":                        push,
	"push until it is accepted":   pushRetries,
	"from pull to push and back":  modifyPushConfig,
	"a deleted topic":             deletedTopic,
	"streaming with flow control": streaming,
	"a retry policy delays":       retryPolicy,
}

func TestConformance(t *testing.T) {
	t.Run("local cloud", func(t *testing.T) {
		s, err := pubsub.New(pubsub.Options{Dir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		runConformance(t, serve(t, s), nil)
	})
	t.Run("pstest", func(t *testing.T) {
		s := pstest.NewServerWithAddress("127.0.0.1:0")
		t.Cleanup(func() { s.Close() })
		runConformance(t, dial(t, s.Addr), pstestFlaws)
	})
	t.Run("emulator", func(t *testing.T) {
		runConformance(t, dial(t, bustest.Emulator(t)), emulatorFlaws)
	})
}

func dial(t *testing.T, addr string) *gpubsub.Client {
	t.Helper()
	c, err := gpubsub.NewClient(context.Background(), "p", option.WithEndpoint(addr),
		option.WithoutAuthentication(), option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func runConformance(t *testing.T, c *gpubsub.Client, flaws map[string]string) {
	for name := range flaws {
		if _, ok := conformance[name]; !ok {
			t.Errorf("flaw %q is not a case of the suite", name)
		}
	}
	for i, name := range slices.Sorted(maps.Keys(conformance)) {
		t.Run(name, func(t *testing.T) {
			if why := flaws[name]; why != "" {
				t.Skip("known flaw: " + why)
			}
			conformance[name](service{t, c, fmt.Sprintf("projects/conformance-%d", i)})
		})
	}
}

func (s service) topic(id string) string {
	s.t.Helper()
	name := s.project + "/topics/" + id
	if _, err := s.c.TopicAdminClient.CreateTopic(s.t.Context(), &pb.Topic{Name: name}); err != nil {
		s.t.Fatal(err)
	}
	return name
}

func (s service) subscription(c *pb.Subscription) string {
	s.t.Helper()
	c.Name = s.project + "/subscriptions/" + c.Name
	if _, err := s.c.SubscriptionAdminClient.CreateSubscription(s.t.Context(), c); err != nil {
		s.t.Fatal(err)
	}
	return c.Name
}

func (s service) publish(topic string, ms ...*pb.PubsubMessage) []string {
	s.t.Helper()
	res, err := s.c.TopicAdminClient.Publish(s.t.Context(), &pb.PublishRequest{Topic: topic, Messages: ms})
	if err != nil {
		s.t.Fatal(err)
	}
	return res.MessageIds
}

// pull takes n messages, in as many requests as it needs.
func (s service) pull(sub string, n int) []*pb.ReceivedMessage {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 2*time.Minute)
	defer cancel()
	var out []*pb.ReceivedMessage
	for len(out) < n {
		res, err := s.c.SubscriptionAdminClient.Pull(ctx, &pb.PullRequest{Subscription: sub, MaxMessages: int32(n - len(out))})
		if err != nil {
			s.t.Fatalf("pulled %d of %d: %v", len(out), n, err)
		}
		out = append(out, res.ReceivedMessages...)
	}
	return out
}

func (s service) ack(sub string, ms ...*pb.ReceivedMessage) {
	s.t.Helper()
	q := &pb.AcknowledgeRequest{Subscription: sub}
	for _, m := range ms {
		q.AckIds = append(q.AckIds, m.AckId)
	}
	if err := s.c.SubscriptionAdminClient.Acknowledge(s.t.Context(), q); err != nil {
		s.t.Fatal(err)
	}
}

func (s service) giveBack(sub string, m *pb.ReceivedMessage) {
	s.t.Helper()
	err := s.c.SubscriptionAdminClient.ModifyAckDeadline(s.t.Context(), &pb.ModifyAckDeadlineRequest{Subscription: sub, AckIds: []string{m.AckId}})
	if err != nil {
		s.t.Fatal(err)
	}
}

// empty says that nothing may be pulled now.
func (s service) empty(sub string) {
	s.t.Helper()
	//lint:ignore SA1019 nothing else asks without waiting
	res, err := s.c.SubscriptionAdminClient.Pull(s.t.Context(), &pb.PullRequest{Subscription: sub, MaxMessages: 10, ReturnImmediately: true})
	if err != nil {
		s.t.Fatal(err)
	}
	if len(res.ReceivedMessages) > 0 {
		s.t.Errorf("%s holds %v, want nothing", sub, res.ReceivedMessages)
	}
}

func (s service) wantCode(want codes.Code, what string, err error) {
	s.t.Helper()
	if got := status.Code(err); got != want {
		s.t.Errorf("%s: %v (%v), want %v", what, got, err, want)
	}
}

func data(ms []*pb.ReceivedMessage) []string {
	var out []string
	for _, m := range ms {
		out = append(out, string(m.Message.Data))
	}
	slices.Sort(out)
	return out
}

func topics(s service) {
	ctx, c := s.t.Context(), s.c.TopicAdminClient
	for _, id := range []string{"three", "one", "two"} {
		s.topic(id)
	}
	_, err := c.CreateTopic(ctx, &pb.Topic{Name: s.project + "/topics/one"})
	s.wantCode(codes.AlreadyExists, "create again", err)
	_, err = c.GetTopic(ctx, &pb.GetTopicRequest{Topic: s.project + "/topics/four"})
	s.wantCode(codes.NotFound, "get a missing one", err)
	got, err := c.UpdateTopic(ctx, &pb.UpdateTopicRequest{
		Topic:      &pb.Topic{Name: s.project + "/topics/one", Labels: map[string]string{"a": "b"}},
		UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"labels"}},
	})
	if err != nil || got.Labels["a"] != "b" {
		s.t.Errorf("update: %v, %v", got, err)
	}
	if err := c.DeleteTopic(ctx, &pb.DeleteTopicRequest{Topic: s.project + "/topics/two"}); err != nil {
		s.t.Error(err)
	}
	s.wantCode(codes.NotFound, "delete again", c.DeleteTopic(ctx, &pb.DeleteTopicRequest{Topic: s.project + "/topics/two"}))
	var names []string
	for topic, err := range c.ListTopics(ctx, &pb.ListTopicsRequest{Project: s.project, PageSize: 1}).All() {
		if err != nil {
			s.t.Fatal(err)
		}
		names = append(names, strings.TrimPrefix(topic.Name, s.project+"/topics/"))
	}
	if diff := cmp.Diff([]string{"one", "three"}, names); diff != "" {
		s.t.Errorf("list (-want +got):\n%s", diff)
	}
}

func subscriptions(s service) {
	ctx, c := s.t.Context(), s.c.SubscriptionAdminClient
	topic := s.topic("topic")
	dead := s.topic("dead")
	for _, id := range []string{"bbb", "aaa"} {
		s.subscription(&pb.Subscription{Name: id, Topic: topic})
	}
	name := s.project + "/subscriptions/aaa"
	_, err := c.CreateSubscription(ctx, &pb.Subscription{Name: name, Topic: topic})
	s.wantCode(codes.AlreadyExists, "create again", err)
	_, err = c.CreateSubscription(ctx, &pb.Subscription{Name: name + "2", Topic: topic + "2"})
	s.wantCode(codes.NotFound, "of a missing topic", err)
	_, err = c.GetSubscription(ctx, &pb.GetSubscriptionRequest{Subscription: name + "2"})
	s.wantCode(codes.NotFound, "get a missing one", err)
	got, err := c.GetSubscription(ctx, &pb.GetSubscriptionRequest{Subscription: name})
	if err != nil || got.AckDeadlineSeconds != 10 || got.Topic != topic {
		s.t.Errorf("get: %v, %v; want the default deadline of 10 s", got, err)
	}
	got, err = c.UpdateSubscription(ctx, &pb.UpdateSubscriptionRequest{
		Subscription: &pb.Subscription{Name: name, AckDeadlineSeconds: 33,
			RetryPolicy:      &pb.RetryPolicy{MinimumBackoff: durationpb.New(time.Second), MaximumBackoff: durationpb.New(time.Minute)},
			DeadLetterPolicy: &pb.DeadLetterPolicy{DeadLetterTopic: dead, MaxDeliveryAttempts: 7}},
		UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"ack_deadline_seconds", "dead_letter_policy", "retry_policy"}},
	})
	if err != nil || got.AckDeadlineSeconds != 33 || got.DeadLetterPolicy.GetMaxDeliveryAttempts() != 7 || got.RetryPolicy.GetMinimumBackoff().AsDuration() != time.Second {
		s.t.Errorf("update: %v, %v", got, err)
	}
	var names []string
	it := s.c.TopicAdminClient.ListTopicSubscriptions(ctx, &pb.ListTopicSubscriptionsRequest{Topic: topic})
	for {
		n, err := it.Next()
		if err == iterator.Done {
			break
		}
		if err != nil {
			s.t.Fatal(err)
		}
		names = append(names, strings.TrimPrefix(n, s.project+"/subscriptions/"))
	}
	slices.Sort(names)
	if diff := cmp.Diff([]string{"aaa", "bbb"}, names); diff != "" {
		s.t.Errorf("subscriptions of the topic (-want +got):\n%s", diff)
	}
	if err := c.DeleteSubscription(ctx, &pb.DeleteSubscriptionRequest{Subscription: name}); err != nil {
		s.t.Error(err)
	}
	_, err = c.Pull(ctx, &pb.PullRequest{Subscription: name, MaxMessages: 1})
	s.wantCode(codes.NotFound, "pull a deleted one", err)
}

func faultyRequests(s service) {
	ctx := s.t.Context()
	topic := s.topic("topic")
	publish := func(m *pb.PubsubMessage) error {
		_, err := s.c.TopicAdminClient.Publish(ctx, &pb.PublishRequest{Topic: topic, Messages: []*pb.PubsubMessage{m}})
		return err
	}
	create := func(c *pb.Subscription) error {
		c.Name, c.Topic = s.project+"/subscriptions/faulty", topic
		_, err := s.c.SubscriptionAdminClient.CreateSubscription(ctx, c)
		return err
	}
	_, err := s.c.TopicAdminClient.Publish(ctx, &pb.PublishRequest{Topic: topic + "2", Messages: []*pb.PubsubMessage{{Data: []byte("x")}}})
	s.wantCode(codes.NotFound, "publish to a missing topic", err)
	s.wantCode(codes.InvalidArgument, "an empty message", publish(&pb.PubsubMessage{}))
	_, err = s.c.TopicAdminClient.CreateTopic(ctx, &pb.Topic{Name: s.project + "/topics/1"})
	s.wantCode(codes.InvalidArgument, "a topic's name", err)
	s.wantCode(codes.InvalidArgument, "deadline of 601 s", create(&pb.Subscription{AckDeadlineSeconds: 601}))
	s.wantCode(codes.InvalidArgument, "4 attempts", create(&pb.Subscription{DeadLetterPolicy: &pb.DeadLetterPolicy{DeadLetterTopic: topic, MaxDeliveryAttempts: 4}}))
	s.wantCode(codes.InvalidArgument, "a filter", create(&pb.Subscription{Filter: "attributes."}))
	s.wantCode(codes.InvalidArgument, "back-off of an hour", create(&pb.Subscription{RetryPolicy: &pb.RetryPolicy{MaximumBackoff: durationpb.New(time.Hour)}}))
}
