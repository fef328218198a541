package pubsub

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/durationpb"
)

// Time in these tests is synctest's: no test waits for real.

const (
	trainTopic = "projects/p/topics/train"
	deadTopic  = "projects/p/topics/dead-letters"
	trainSub   = "projects/p/subscriptions/train"
	deadSub    = "projects/p/subscriptions/dead-letters"
)

// fakeEndpoint is a push endpoint without a network.
type fakeEndpoint struct {
	answer func(n int, body string) (status int) // n counts requests from 1

	mu    sync.Mutex
	times []time.Time
}

func (e *fakeEndpoint) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	e.times = append(e.times, time.Now())
	n := len(e.times)
	e.mu.Unlock()
	done := make(chan int, 1)
	go func() { done <- e.answer(n, string(body)) }()
	select {
	case code := <-done:
		return &http.Response{StatusCode: code, Status: http.StatusText(code), Body: io.NopCloser(strings.NewReader("")), Request: r}, nil
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}

// gaps are the times between requests.
func (e *fakeEndpoint) gaps() []time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []time.Duration
	for i := 1; i < len(e.times); i++ {
		out = append(out, e.times[i].Sub(e.times[i-1]))
	}
	return out
}

func start(t *testing.T, o Options) *Server {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func makeTopics(t *testing.T, s *Server, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := (publisher{s: s}).CreateTopic(t.Context(), &pb.Topic{Name: name}); err != nil {
			t.Fatal(err)
		}
	}
}

func makeSub(t *testing.T, s *Server, c *pb.Subscription) {
	t.Helper()
	if _, err := (subscriber{s: s}).CreateSubscription(t.Context(), c); err != nil {
		t.Fatal(err)
	}
}

func pushTo(c *pb.Subscription) *pb.Subscription {
	c.PushConfig = &pb.PushConfig{PushEndpoint: "http://endpoint/"}
	return c
}

func publishOne(t *testing.T, s *Server, data string) {
	t.Helper()
	if err := s.Publish(t.Context(), trainTopic, map[string]string{"id": data}, []byte(data)); err != nil {
		t.Fatal(err)
	}
}

// pass lets time go by, and all that happens in it end.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// pull takes what is there now.
func pull(t *testing.T, s *Server, sub string) []*pb.ReceivedMessage {
	t.Helper()
	//lint:ignore SA1019 nothing else asks without waiting
	res, err := (subscriber{s: s}).Pull(t.Context(), &pb.PullRequest{Subscription: sub, MaxMessages: 1000, ReturnImmediately: true})
	if err != nil {
		t.Fatal(err)
	}
	return res.ReceivedMessages
}

func TestPush_backsOffThenDeadLetters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEndpoint{answer: func(int, string) int { return http.StatusServiceUnavailable }}
		s := start(t, Options{HTTPClient: &http.Client{Transport: e}})
		makeTopics(t, s, trainTopic, deadTopic)
		makeSub(t, s, &pb.Subscription{Name: deadSub, Topic: deadTopic})
		makeSub(t, s, pushTo(&pb.Subscription{
			Name: trainSub, Topic: trainTopic,
			RetryPolicy:      &pb.RetryPolicy{MinimumBackoff: durationpb.New(time.Second), MaximumBackoff: durationpb.New(5 * time.Second)},
			DeadLetterPolicy: &pb.DeadLetterPolicy{DeadLetterTopic: deadTopic, MaxDeliveryAttempts: 6},
		}))
		published := time.Now()
		publishOne(t, s, "bad")
		pass(time.Minute)

		want := []time.Duration{1 * time.Second, 2 * time.Second, 4 * time.Second, 5 * time.Second, 5 * time.Second}
		if diff := cmp.Diff(want, e.gaps()); diff != "" {
			t.Errorf("times between attempts (-want +got):\n%s", diff)
		}
		dead := pull(t, s, deadSub)
		if len(dead) != 1 {
			t.Fatalf("%d dead letters, want 1", len(dead))
		}
		attributes := map[string]string{
			"id": "bad",
			"CloudPubSubDeadLetterSourceSubscription":        "train",
			"CloudPubSubDeadLetterSourceSubscriptionProject": "p",
			"CloudPubSubDeadLetterSourceDeliveryCount":       "6",
			"CloudPubSubDeadLetterSourceTopicPublishTime":    published.UTC().Format(time.RFC3339Nano),
		}
		if diff := cmp.Diff(attributes, dead[0].Message.Attributes); diff != "" {
			t.Errorf("attributes (-want +got):\n%s", diff)
		}
		if string(dead[0].Message.Data) != "bad" {
			t.Errorf("data = %q", dead[0].Message.Data)
		}
		if n := s.Waiting(); n != 0 {
			t.Errorf("%d still waiting", n)
		}
	})
}

func TestPush_attemptsCountAcrossARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEndpoint{answer: func(int, string) int { return http.StatusInternalServerError }}
		o := Options{Dir: t.TempDir(), HTTPClient: &http.Client{Transport: e}}
		s := start(t, o)
		makeTopics(t, s, trainTopic, deadTopic)
		makeSub(t, s, &pb.Subscription{Name: deadSub, Topic: deadTopic})
		makeSub(t, s, pushTo(&pb.Subscription{
			Name: trainSub, Topic: trainTopic,
			RetryPolicy:      &pb.RetryPolicy{MinimumBackoff: durationpb.New(10 * time.Second)},
			DeadLetterPolicy: &pb.DeadLetterPolicy{DeadLetterTopic: deadTopic},
		}))
		publishOne(t, s, "bad")
		pass(35 * time.Second) // attempts at 0, 10 and 30 s
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = start(t, o)
		pass(5 * time.Minute) // the fourth at 70, the fifth at 150 s
		want := []time.Duration{10 * time.Second, 20 * time.Second, 40 * time.Second, 80 * time.Second}
		if diff := cmp.Diff(want, e.gaps()); diff != "" {
			t.Errorf("times between attempts (-want +got):\n%s", diff)
		}
		if dead := pull(t, s, deadSub); len(dead) != 1 {
			t.Errorf("%d dead letters, want 1", len(dead))
		}
	})
}

func TestPush_deadLetterTopicGone_triesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEndpoint{answer: func(n int, _ string) int {
			if n <= 8 {
				return http.StatusBadRequest
			}
			return http.StatusOK
		}}
		s := start(t, Options{HTTPClient: &http.Client{Transport: e}})
		makeTopics(t, s, trainTopic, deadTopic)
		makeSub(t, s, pushTo(&pb.Subscription{
			Name: trainSub, Topic: trainTopic, DeadLetterPolicy: &pb.DeadLetterPolicy{DeadLetterTopic: deadTopic},
		}))
		if _, err := (publisher{s: s}).DeleteTopic(t.Context(), &pb.DeleteTopicRequest{Topic: deadTopic}); err != nil {
			t.Fatal(err)
		}
		publishOne(t, s, "x")
		pass(10 * time.Minute)
		if n := len(e.gaps()) + 1; n != 9 || s.Waiting() != 0 {
			t.Errorf("%d attempts, %d waiting; want 9 and 0", n, s.Waiting())
		}
	})
}

func TestPush_endpointThatHangs_isCutOffAtTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEndpoint{answer: func(n int, _ string) int {
			if n == 1 {
				time.Sleep(time.Hour)
			}
			return http.StatusOK
		}}
		s := start(t, Options{HTTPClient: &http.Client{Transport: e}})
		makeTopics(t, s, trainTopic)
		makeSub(t, s, pushTo(&pb.Subscription{Name: trainSub, Topic: trainTopic, AckDeadlineSeconds: 15}))
		publishOne(t, s, "x")
		pass(2 * time.Hour)
		if diff := cmp.Diff([]time.Duration{15*time.Second + defaultMinBackoff}, e.gaps()); diff != "" {
			t.Errorf("times between attempts (-want +got):\n%s", diff)
		}
	})
}

func TestPush_windowGrowsWithSuccess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var inFlight, peak, total atomic.Int32
		e := &fakeEndpoint{answer: func(int, string) int {
			total.Add(1)
			n := inFlight.Add(1)
			for old := peak.Load(); n > old && !peak.CompareAndSwap(old, n); old = peak.Load() {
			}
			time.Sleep(time.Second)
			inFlight.Add(-1)
			return http.StatusNoContent
		}}
		s := start(t, Options{HTTPClient: &http.Client{Transport: e}, MaxPushes: 8})
		makeTopics(t, s, trainTopic)
		makeSub(t, s, pushTo(&pb.Subscription{Name: trainSub, Topic: trainTopic}))
		for i := range 100 {
			publishOne(t, s, fmt.Sprint(i))
		}
		synctest.Wait()
		if n := total.Load(); n != 1 {
			t.Errorf("%d pushes at once before the first success, want 1", n)
		}
		for range 20 {
			pass(time.Second)
		}
		if total.Load() != 100 || inFlight.Load() != 0 || peak.Load() != 8 {
			t.Errorf("%d pushes, at most %d at once; want 100 and 8", total.Load(), peak.Load())
		}
		if n := s.Stats()[0].Acked; n != 100 {
			t.Errorf("%d acknowledged, want 100", n)
		}
	})
}

func TestPush_nobodyListens_isNoAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var tries atomic.Int32
		e := &fakeEndpoint{answer: func(int, string) int { return http.StatusOK }}
		s := start(t, Options{HTTPClient: &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			if time.Since(began) < time.Hour { // the endpoint starts an hour later
				tries.Add(1)
				return nil, &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
			}
			return e.RoundTrip(r)
		})}})
		makeTopics(t, s, trainTopic, deadTopic)
		makeSub(t, s, &pb.Subscription{Name: deadSub, Topic: deadTopic})
		makeSub(t, s, pushTo(&pb.Subscription{Name: trainSub, Topic: trainTopic,
			DeadLetterPolicy: &pb.DeadLetterPolicy{DeadLetterTopic: deadTopic, MaxDeliveryAttempts: 5}}))
		for i := range 50 {
			publishOne(t, s, fmt.Sprint(i))
		}
		pass(time.Hour - time.Second)
		// Once a second for the subscription, not for each of its messages.
		if n := tries.Load(); n < 3000 || n > 4000 {
			t.Errorf("%d tries in an hour, want about one a second", n)
		}
		pass(3 * time.Second)
		if n, dead := s.Waiting(), pull(t, s, deadSub); n != 0 || len(dead) != 0 {
			t.Errorf("%d waiting and %d dead letters after the endpoint started, want none", n, len(dead))
		}
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestPush_slowOrBrokenOneHoldsUpNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var good atomic.Int32
		e := &fakeEndpoint{answer: func(_ int, body string) int {
			if strings.Contains(body, `"id":"poison"`) {
				return http.StatusInternalServerError
			}
			good.Add(1)
			return http.StatusOK
		}}
		s := start(t, Options{HTTPClient: &http.Client{Transport: e}})
		makeTopics(t, s, trainTopic)
		makeSub(t, s, pushTo(&pb.Subscription{Name: trainSub, Topic: trainTopic}))
		publishOne(t, s, "poison")
		for i := range 20 {
			publishOne(t, s, fmt.Sprint(i))
		}
		synctest.Wait()
		if good.Load() != 20 {
			t.Errorf("%d of 20 delivered while one failed", good.Load())
		}
		if n := s.Waiting(); n != 1 {
			t.Errorf("%d waiting, want the poison alone", n)
		}
	})
}

func TestPull_unacknowledgedComesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, Options{})
		makeTopics(t, s, trainTopic)
		makeSub(t, s, &pb.Subscription{Name: trainSub, Topic: trainTopic, AckDeadlineSeconds: 10})
		publishOne(t, s, "x")
		first := pull(t, s, trainSub)
		if len(first) != 1 || first[0].DeliveryAttempt != 0 {
			t.Fatalf("first pull = %v, want one message, its attempt not counted without a dead-letter policy", first)
		}
		deadline := func(seconds int32) {
			if _, err := (subscriber{s: s}).ModifyAckDeadline(t.Context(), &pb.ModifyAckDeadlineRequest{
				Subscription: trainSub, AckIds: []string{first[0].AckId}, AckDeadlineSeconds: seconds}); err != nil {
				t.Fatal(err)
			}
		}
		pass(9 * time.Second)
		deadline(30)
		pass(29 * time.Second)
		if again := pull(t, s, trainSub); len(again) != 0 {
			t.Fatalf("came again before its prolonged deadline: %v", again)
		}
		pass(2 * time.Second)
		second := pull(t, s, trainSub)
		if len(second) != 1 || second[0].AckId == first[0].AckId {
			t.Fatalf("after the deadline: %v, want it once more, with an id of its own", second)
		}
		deadline(0) // of the first lease, which is over: must not disturb the second
		if again := pull(t, s, trainSub); len(again) != 0 {
			t.Fatalf("a stale deadline gave the message back: %v", again)
		}
		if _, err := (subscriber{s: s}).Acknowledge(t.Context(), &pb.AcknowledgeRequest{Subscription: trainSub, AckIds: []string{first[0].AckId}}); err != nil {
			t.Fatal(err)
		}
		pass(time.Hour)
		if again := pull(t, s, trainSub); len(again) != 0 {
			t.Errorf("came again after a late acknowledgement: %v", again)
		}
	})
}

func TestPull_waitsForAMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, Options{})
		makeTopics(t, s, trainTopic)
		makeSub(t, s, &pb.Subscription{Name: trainSub, Topic: trainTopic})
		var got []*pb.ReceivedMessage
		go func() {
			res, err := (subscriber{s: s}).Pull(t.Context(), &pb.PullRequest{Subscription: trainSub, MaxMessages: 10})
			if err != nil {
				t.Error(err)
			}
			got = res.GetReceivedMessages()
		}()
		pass(time.Minute)
		publishOne(t, s, "x")
		synctest.Wait()
		if len(got) != 1 {
			t.Errorf("pulled %d, want 1", len(got))
		}
	})
}

func TestFaults_deliveredAtLeastOnceAllTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := map[string]int{}
		var order []string
		var mu sync.Mutex
		e := &fakeEndpoint{answer: func(_ int, body string) int {
			mu.Lock()
			defer mu.Unlock()
			_, id, _ := strings.Cut(body, `"id":"`)
			id, _, _ = strings.Cut(id, `"`)
			seen[id]++
			order = append(order, id)
			return http.StatusOK
		}}
		s := start(t, Options{HTTPClient: &http.Client{Transport: e},
			Faults: Faults{Seed: 7, Duplicate: 0.5, Reorder: 0.5, Delay: 0.5, MaxDelay: time.Minute}})
		makeTopics(t, s, trainTopic)
		makeSub(t, s, pushTo(&pb.Subscription{Name: trainSub, Topic: trainTopic}))
		for i := range 100 {
			publishOne(t, s, fmt.Sprintf("%03d", i))
		}
		pass(time.Hour)
		twice, backwards := 0, 0
		for i, id := range order {
			if i > 0 && id < order[i-1] {
				backwards++
			}
		}
		for _, n := range seen {
			if n == 2 {
				twice++
			}
		}
		if len(seen) != 100 || twice < 30 || twice > 70 || backwards == 0 || s.Waiting() != 0 {
			t.Errorf("%d of 100 seen, %d twice, %d out of order, %d waiting", len(seen), twice, backwards, s.Waiting())
		}
	})
}

func TestFaults_crashAfterCommit(t *testing.T) {
	dir := t.TempDir()
	died := errors.New("died")
	s := start(t, Options{Dir: dir, Faults: Faults{AfterCommit: func() { panic(died) }}})
	makeTopics(t, s, trainTopic)
	makeSub(t, s, &pb.Subscription{Name: trainSub, Topic: trainTopic})
	func() {
		defer func() {
			if r := recover(); r != died {
				t.Errorf("recovered %v, want %v", r, died)
			}
		}()
		publishOne(t, s, "x")
	}()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if got := pull(t, start(t, Options{Dir: dir}), trainSub); len(got) != 1 {
		t.Errorf("%d messages after the restart, want the one that was committed", len(got))
	}
}
