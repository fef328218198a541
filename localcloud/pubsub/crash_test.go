package pubsub_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	gpubsub "cloud.google.com/go/pubsub/v2"
	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/litterloop/litterloop/localcloud/pubsub"
)

// crashDir names, in the environment, where the child of TestCrash keeps its
// state; a test binary that finds it is that child.
const crashDir = "PUBSUB_CRASH_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDir); dir != "" {
		if err := crashChild(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// crashChild serves until it is killed.
func crashChild(dir string) error {
	// Compaction after every few messages, so that kills hit it too.
	s, err := pubsub.New(pubsub.Options{Dir: dir, CompactBytes: 16 << 10})
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	g := grpc.NewServer(pubsub.ServerOptions()...)
	s.Register(g)
	fmt.Println(l.Addr())
	return g.Serve(l)
}

// child is a running server that can be killed.
type child struct {
	cmd    *exec.Cmd
	client *gpubsub.Client
}

func startChild(t *testing.T, dir string) *child {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), crashDir+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	addr, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the child did not start: %v", err)
	}
	client, err := gpubsub.NewClient(context.Background(), "p", option.WithEndpoint(strings.TrimSpace(addr)),
		option.WithoutAuthentication(), option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())))
	if err != nil {
		t.Fatal(err)
	}
	return &child{cmd, client}
}

// kill is kill -9.
func (c *child) kill(t *testing.T) {
	t.Helper()
	if err := c.cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = c.cmd.Wait() // "signal: killed"
	c.client.Close()
}

// tally is what the outside of the server knows.
type tally struct {
	mu        sync.Mutex
	published map[string]bool // answered
	pushed    map[string]int  // times that the endpoint got and answered it
	pulled    map[string]bool // received by pull
	settled   map[string]bool // acknowledged, and the acknowledgement answered
	again     []string        // came although its acknowledgement was answered
	changed   chan struct{}   // gets something after every change
}

func (y *tally) note(f func()) {
	y.mu.Lock()
	f()
	y.mu.Unlock()
	select {
	case y.changed <- struct{}{}:
	default:
	}
}

// until waits for something about the tally.
func (y *tally) until(t *testing.T, reached func() bool) {
	t.Helper()
	enough := time.After(3 * time.Minute)
	for {
		y.mu.Lock()
		ok := reached()
		y.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-y.changed:
		case <-enough:
			y.mu.Lock()
			defer y.mu.Unlock()
			push, pull := y.missing()
			t.Fatalf("gave up: of %d published, %d were not pushed and %d not pulled", len(y.published), push, pull)
		}
	}
}

func (y *tally) missing() (push, pull int) {
	for id := range y.published {
		if y.pushed[id] == 0 {
			push++
		}
		if !y.pulled[id] {
			pull++
		}
	}
	return push, pull
}

// publish sends messages in small batches until the server is gone.
func (y *tally) publish(ctx context.Context, c *child, prefix string) {
	for n := 0; ; n++ {
		var ids []string
		q := &pb.PublishRequest{Topic: project + "/topics/load"}
		for i := range 5 {
			id := fmt.Sprintf("%s-%d-%d", prefix, n, i)
			ids = append(ids, id)
			q.Messages = append(q.Messages, &pb.PubsubMessage{Data: []byte(strings.Repeat("x", 100)), Attributes: map[string]string{"id": id}})
		}
		if _, err := c.client.TopicAdminClient.Publish(ctx, q); err != nil {
			return
		}
		y.note(func() {
			for _, id := range ids {
				y.published[id] = true
			}
		})
	}
}

// pull takes and acknowledges until the server is gone or ctx ends.
func (y *tally) pull(ctx context.Context, c *child) {
	sub := project + "/subscriptions/pull"
	for {
		res, err := c.client.SubscriptionAdminClient.Pull(ctx, &pb.PullRequest{Subscription: sub, MaxMessages: 50})
		if err != nil {
			return
		}
		var acks, ids []string
		for _, m := range res.ReceivedMessages {
			acks, ids = append(acks, m.AckId), append(ids, m.Message.Attributes["id"])
		}
		y.note(func() {
			for _, id := range ids {
				y.pulled[id] = true
				if y.settled[id] {
					y.again = append(y.again, id)
				}
			}
		})
		if len(acks) == 0 {
			continue
		}
		if c.client.SubscriptionAdminClient.Acknowledge(ctx, &pb.AcknowledgeRequest{Subscription: sub, AckIds: acks}) != nil {
			return
		}
		y.note(func() {
			for _, id := range ids {
				y.settled[id] = true
			}
		})
	}
}

// TestCrash kills a loaded server again and again. What was answered as
// published is delivered; what was answered as acknowledged is not delivered
// again; and of what an endpoint accepted only what was in flight at a kill is.
func TestCrash_killedUnderLoad_losesNothing(t *testing.T) {
	y := &tally{published: map[string]bool{}, pushed: map[string]int{}, pulled: map[string]bool{}, settled: map[string]bool{}, changed: make(chan struct{}, 1)}
	endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body struct {
			Message struct{ Attributes map[string]string }
		}
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		y.note(func() { y.pushed[body.Message.Attributes["id"]]++ })
		w.WriteHeader(http.StatusNoContent)
	}))
	defer endpoint.Close()

	const kills = 4
	dir := t.TempDir()
	for round := range kills + 1 {
		c := startChild(t, dir)
		if round == 0 {
			topic := createTopic(t, c.client, "load")
			createSub(t, c.client, &pb.Subscription{Name: "pull", Topic: topic, AckDeadlineSeconds: 10})
			createSub(t, c.client, &pb.Subscription{Name: "push", Topic: topic, PushConfig: &pb.PushConfig{PushEndpoint: endpoint.URL}})
		}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { y.pull(ctx, c) })
		if round < kills {
			for i := range 3 {
				wg.Go(func() { y.publish(ctx, c, fmt.Sprintf("%d-%d", round, i)) })
			}
			y.until(t, func() bool { return len(y.published) >= 500*(round+1) })
			c.kill(t)
		} else {
			y.until(t, func() bool { push, pull := y.missing(); return push+pull == 0 })
			defer c.kill(t)
		}
		cancel()
		wg.Wait()
	}
	y.mu.Lock() // a repeated push may still come
	defer y.mu.Unlock()
	repeats := 0
	for _, n := range y.pushed {
		repeats += n - 1
	}
	t.Logf("%d published, %d deliveries repeated over %d kills", len(y.published), repeats, kills)
	// 32 pushes in flight at most, each acknowledgement lost at most once a kill.
	if most := kills * 32; repeats > most {
		t.Errorf("%d deliveries repeated, at most %d were in flight at the kills", repeats, most)
	}
	if len(y.again) > 0 {
		t.Errorf("%d messages came again after their acknowledgement was answered: %.3q…", len(y.again), y.again)
	}
}
