package buspubsub_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2"
	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"cloud.google.com/go/pubsub/v2/pstest"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	localpubsub "github.com/litterloop/litterloop/localcloud/pubsub"
	"github.com/litterloop/litterloop/shared/bus"
	"github.com/litterloop/litterloop/shared/bus/buspubsub"
	"github.com/litterloop/litterloop/shared/bus/bustest"
	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/event"
)

// project is another one for each bus, so that one emulator serves many.
var project = func() func() string {
	var mu sync.Mutex
	n := 0
	return func() string { mu.Lock(); defer mu.Unlock(); n++; return fmt.Sprintf("project-%d", n) }
}()

func newClient(t *testing.T, addr, project string) *pubsub.Client {
	t.Helper()
	client, err := pubsub.NewClient(context.Background(), project, option.WithEndpoint(addr),
		option.WithoutAuthentication(), option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

// connect opens a bus on the Pub/Sub at addr; what its subscriptions receive is
// decoded as a function decodes a push.
func connect(t *testing.T, addr string) bustest.Bus {
	t.Helper()
	id := project()
	client := newClient(t, addr, id)
	for _, topic := range []string{bus.Train, bus.Deploy} {
		name := "projects/" + id + "/topics/" + topic
		if _, err := client.TopicAdminClient.CreateTopic(t.Context(), &pb.Topic{Name: name}); err != nil {
			t.Fatal(err)
		}
		if _, err := client.SubscriptionAdminClient.CreateSubscription(t.Context(), &pb.Subscription{
			Name: "projects/" + id + "/subscriptions/" + topic, Topic: name, AckDeadlineSeconds: 60}); err != nil {
			t.Fatal(err)
		}
	}
	p := buspubsub.New(client)
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return bustest.Bus{Publisher: p, Receive: func(t *testing.T, topic string, n int) []event.Event {
		return receive(t, client, topic, n)
	}}
}

func receive(t *testing.T, client *pubsub.Client, topic string, n int) []event.Event {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	var mu sync.Mutex
	var out []event.Event
	err := client.Subscriber(topic).Receive(ctx, func(_ context.Context, m *pubsub.Message) {
		m.Ack()
		body, err := json.Marshal(map[string]any{"message": map[string]any{
			"data": m.Data, "attributes": m.Attributes, "messageId": m.ID, "publishTime": m.PublishTime}})
		if err != nil {
			t.Error(err)
		}
		e, err := event.Decode(httptest.NewRequest(http.MethodPost, "/", strings.NewReader(string(body))))
		if err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		if out = append(out, e); len(out) >= n {
			cancel()
		}
	})
	if err != nil || len(out) != n {
		t.Fatalf("received %d events, want %d; %v", len(out), n, err)
	}
	return out
}

func serveLocal(t *testing.T) (addr string) {
	t.Helper()
	s, err := localpubsub.New(localpubsub.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := grpc.NewServer(localpubsub.ServerOptions()...)
	s.Register(g)
	go g.Serve(l)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		g.Stop()
	})
	return l.Addr().String()
}

func TestConformance_localCloud(t *testing.T) {
	bustest.Test(t, func(t *testing.T) bustest.Bus { return connect(t, serveLocal(t)) }, nil)
}

func TestConformance_pstest(t *testing.T) {
	bustest.Test(t, func(t *testing.T) bustest.Bus {
		s := pstest.NewServerWithAddress("127.0.0.1:0")
		t.Cleanup(func() { s.Close() })
		return connect(t, s.Addr)
	}, nil)
}

func TestPublish_afterClose(t *testing.T) {
	p := buspubsub.New(newClient(t, serveLocal(t), project()))
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if err := p.Publish(t.Context(), bus.Train, event.Event{ID: "x", Type: event.Train}); !errors.Is(err, errs.Unavailable) {
		t.Errorf("Publish = %v, want errs.Unavailable", err)
	}
}

// The answer of a cancelled context is not enough: the event that it left
// behind must still be on its way when Close returns.
func TestClose_flushes(t *testing.T) {
	addr := serveLocal(t)
	b := connect(t, addr)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	e, err := event.New(event.Train, time.Now(), event.TrainData{Dataset: "v"}, "v")
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Publisher.Publish(ctx, bus.Train, e); err == nil {
		t.Fatal("published with a cancelled context")
	}
	if err := b.Publisher.(*buspubsub.Publisher).Close(); err != nil {
		t.Fatal(err)
	}
	if got := b.Receive(t, bus.Train, 1); got[0].ID != e.ID {
		t.Errorf("received %q, want %q", got[0].ID, e.ID)
	}
}

func BenchmarkPublish(b *testing.B) {
	s, err := localpubsub.New(localpubsub.Options{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	g := grpc.NewServer(localpubsub.ServerOptions()...)
	s.Register(g)
	go g.Serve(l)
	client, err := pubsub.NewClient(context.Background(), "p", option.WithEndpoint(l.Addr().String()),
		option.WithoutAuthentication(), option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())))
	if err != nil {
		b.Fatal(err)
	}
	if _, err := client.TopicAdminClient.CreateTopic(b.Context(), &pb.Topic{Name: "projects/p/topics/train"}); err != nil {
		b.Fatal(err)
	}
	p := buspubsub.New(client)
	e, err := event.New(event.Train, time.Now(), event.TrainData{Dataset: "v"}, "v")
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if err := p.Publish(b.Context(), bus.Train, e); err != nil {
			b.Fatal(err)
		}
	}
	p.Close()
	client.Close()
	g.Stop()
	s.Close()
}

func TestConformance_googleEmulator(t *testing.T) {
	addr := bustest.Emulator(t)
	bustest.Test(t, func(t *testing.T) bustest.Bus { return connect(t, addr) }, nil)
}
