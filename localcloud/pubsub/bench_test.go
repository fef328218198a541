package pubsub_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	gpubsub "cloud.google.com/go/pubsub/v2"
	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"

	"github.com/litterloop/litterloop/localcloud/pubsub"
)

// cpu is the processor time of this process: server and clients.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// report adds messages a second and CPU a message. What it counts from is
// taken when it is called.
func report(b *testing.B) func() {
	b.Helper()
	began := cpu(b)
	b.ResetTimer()
	return func() {
		b.Helper()
		b.StopTimer()
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
		b.ReportMetric(float64(cpu(b)-began)/float64(time.Microsecond)/float64(b.N), "µs-cpu/message")
	}
}

// BenchmarkPublishReceive: the Google client publishes in its batches and
// receives by StreamingPull, both in the server's process. A message counts
// when it is acknowledged.
func BenchmarkPublishReceive(b *testing.B) {
	for _, fsync := range []bool{false, true} {
		b.Run(fmt.Sprintf("fsync=%t", fsync), func(b *testing.B) {
			_, c := open(b, pubsub.Options{Dir: b.TempDir(), Fsync: fsync})
			topic := createTopic(b, c, "load")
			sub := createSub(b, c, &pb.Subscription{Name: "load", Topic: topic})
			p := c.Publisher(topic)
			ctx, cancel := context.WithCancel(b.Context())
			defer cancel()
			var received atomic.Int64
			stop := report(b)
			var wg sync.WaitGroup
			wg.Go(func() {
				r := c.Subscriber(sub)
				r.ReceiveSettings.MaxOutstandingMessages = 10_000
				if err := r.Receive(ctx, func(_ context.Context, m *gpubsub.Message) {
					m.Ack()
					if received.Add(1) == int64(b.N) {
						cancel()
					}
				}); err != nil {
					b.Error(err)
				}
			})
			publishLoad(b, p)
			wg.Wait()
			stop()
		})
	}
}

// publishLoad publishes b.N messages of 200 bytes.
func publishLoad(b *testing.B, p *gpubsub.Publisher) {
	b.Helper()
	p.PublishSettings.FlowControlSettings.MaxOutstandingMessages = 10_000
	p.PublishSettings.FlowControlSettings.LimitExceededBehavior = gpubsub.FlowControlBlock
	data := make([]byte, 200)
	for range b.N {
		p.Publish(b.Context(), &gpubsub.Message{Data: data, Attributes: map[string]string{"type": "train"}})
	}
	p.Stop()
}

// BenchmarkPush: from the Google client's batches to an HTTP endpoint in the
// same process.
func BenchmarkPush(b *testing.B) {
	done := make(chan struct{})
	var received atomic.Int64
	endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNoContent)
		if received.Add(1) == int64(b.N) {
			close(done)
		}
	}))
	defer endpoint.Close()
	_, c := open(b, pubsub.Options{Dir: b.TempDir()})
	topic := createTopic(b, c, "load")
	createSub(b, c, &pb.Subscription{Name: "load", Topic: topic, PushConfig: &pb.PushConfig{PushEndpoint: endpoint.URL}})
	received.Store(0)
	stop := report(b)
	publishLoad(b, c.Publisher(topic))
	<-done
	stop()
}

// BenchmarkServerPublish: what a storage notification costs, 16 at a time.
func BenchmarkServerPublish(b *testing.B) {
	s, c := open(b, pubsub.Options{Dir: b.TempDir()})
	topic := createTopic(b, c, "objects")
	createSub(b, c, &pb.Subscription{Name: "objects", Topic: topic})
	data := make([]byte, 600)
	b.SetParallelism(8)
	stop := report(b)
	b.RunParallel(func(next *testing.PB) {
		for next.Next() {
			if err := s.Publish(b.Context(), topic, map[string]string{"eventType": "OBJECT_FINALIZE"}, data); err != nil {
				b.Error(err)
			}
		}
	})
	stop()
}

// BenchmarkNew is a start, on nothing and on 20,000 messages still owed.
func BenchmarkNew(b *testing.B) {
	for _, owed := range []int{0, 20_000} {
		b.Run(fmt.Sprintf("owed=%d", owed), func(b *testing.B) {
			dir := b.TempDir()
			s, err := pubsub.New(pubsub.Options{Dir: dir})
			if err != nil {
				b.Fatal(err)
			}
			c := serve(b, s)
			topic := createTopic(b, c, "objects")
			createSub(b, c, &pb.Subscription{Name: "objects", Topic: topic})
			for range owed {
				if err := s.Publish(b.Context(), topic, map[string]string{"eventType": "OBJECT_FINALIZE"}, make([]byte, 600)); err != nil {
					b.Fatal(err)
				}
			}
			if err := s.Close(); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				s, err := pubsub.New(pubsub.Options{Dir: dir})
				if err != nil {
					b.Fatal(err)
				}
				if err := s.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
