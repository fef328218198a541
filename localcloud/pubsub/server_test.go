package pubsub_test

import (
	"context"
	"net"
	"testing"

	gpubsub "cloud.google.com/go/pubsub/v2"
	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/litterloop/litterloop/localcloud/pubsub"
)

const project = "projects/p"

// open starts a server in dir and a Google client of it.
func open(t testing.TB, o pubsub.Options) (*pubsub.Server, *gpubsub.Client) {
	t.Helper()
	s, err := pubsub.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s, serve(t, s)
}

func serve(t testing.TB, s *pubsub.Server) *gpubsub.Client {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := grpc.NewServer(pubsub.ServerOptions()...)
	s.Register(g)
	go g.Serve(l)
	client, err := gpubsub.NewClient(context.Background(), "p", option.WithEndpoint(l.Addr().String()),
		option.WithoutAuthentication(), option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		client.Close()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		g.Stop()
	})
	return client
}

func createTopic(t testing.TB, c *gpubsub.Client, id string) string {
	t.Helper()
	name := project + "/topics/" + id
	if _, err := c.TopicAdminClient.CreateTopic(t.Context(), &pb.Topic{Name: name}); err != nil {
		t.Fatal(err)
	}
	return name
}

func createSub(t testing.TB, c *gpubsub.Client, sub *pb.Subscription) string {
	t.Helper()
	sub.Name = project + "/subscriptions/" + sub.Name
	if _, err := c.SubscriptionAdminClient.CreateSubscription(t.Context(), sub); err != nil {
		t.Fatal(err)
	}
	return sub.Name
}

func TestReceive_whatWasPublished(t *testing.T) {
	_, c := open(t, pubsub.Options{Dir: t.TempDir()})
	topic := createTopic(t, c, "train")
	sub := createSub(t, c, &pb.Subscription{Name: "train", Topic: topic})
	p := c.Publisher(topic)
	defer p.Stop()
	for range 100 {
		p.Publish(t.Context(), &gpubsub.Message{Data: []byte("x"), Attributes: map[string]string{"k": "v"}})
	}
	p.Flush()
	ctx, cancel := context.WithCancel(t.Context())
	got := make(chan string, 200)
	done := make(chan error)
	go func() {
		done <- c.Subscriber(sub).Receive(ctx, func(_ context.Context, m *gpubsub.Message) {
			m.Ack()
			got <- m.ID
		})
	}()
	ids := map[string]bool{}
	for len(ids) < 100 {
		ids[<-got] = true
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}
