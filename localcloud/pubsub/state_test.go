package pubsub

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/google/go-cmp/cmp"
)

// owed is what every subscription is owed, by message id, with the
// failures so far.
func owed(s *Server) map[string]map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string]map[string]int{}
	for name, sub := range s.subs {
		out[name] = map[string]int{}
		for _, d := range sub.owed {
			out[name][d.message.MessageId] = d.failures
		}
	}
	return out
}

// TestRestart_anyHistory does at random what clients do, compacts and restarts
// at random, and compares what is owed before and after each restart.
func TestRestart_anyHistory(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := rand.New(rand.NewPCG(seed, 1))
				dir := t.TempDir()
				s := start(t, Options{Dir: dir})
				makeTopics(t, s, trainTopic, deadTopic)
				subs := []string{trainSub, deadSub, "projects/p/subscriptions/third"}
				for n := range 300 {
					sub := subs[r.IntN(len(subs))]
					switch r.IntN(12) {
					case 0, 1, 2, 3:
						publishOne(t, s, fmt.Sprint(n))
					case 4, 5:
						for _, m := range pullSome(t, s, sub, 3) {
							q := &pb.AcknowledgeRequest{Subscription: sub, AckIds: []string{m.AckId}}
							if _, err := (subscriber{s: s}).Acknowledge(t.Context(), q); err != nil {
								t.Fatal(err)
							}
						}
					case 6, 7:
						for _, m := range pullSome(t, s, sub, 2) {
							q := &pb.ModifyAckDeadlineRequest{Subscription: sub, AckIds: []string{m.AckId}}
							if _, err := (subscriber{s: s}).ModifyAckDeadline(t.Context(), q); err != nil {
								t.Fatal(err)
							}
						}
					case 8:
						// Fails when it is there already: as it should.
						_, _ = (subscriber{s: s}).CreateSubscription(t.Context(), &pb.Subscription{Name: sub, Topic: trainTopic,
							DeadLetterPolicy: &pb.DeadLetterPolicy{DeadLetterTopic: trainTopic, MaxDeliveryAttempts: 5}})
					case 9:
						if r.IntN(4) == 0 { // fails when it is not there
							_, _ = (subscriber{s: s}).DeleteSubscription(t.Context(), &pb.DeleteSubscriptionRequest{Subscription: sub})
						}
					case 10:
						s.compacting.Store(true)
						s.compact()
					case 11:
						want := owed(s)
						if err := s.Close(); err != nil {
							t.Fatal(err)
						}
						s = start(t, Options{Dir: dir})
						if diff := cmp.Diff(want, owed(s)); diff != "" {
							t.Fatalf("owed after a restart at step %d (-before +after):\n%s", n, diff)
						}
					}
				}
			})
		})
	}
}

// pullSome takes up to n messages; none when there is no such subscription.
func pullSome(t *testing.T, s *Server, sub string, n int32) []*pb.ReceivedMessage {
	t.Helper()
	//lint:ignore SA1019 nothing else asks without waiting
	res, err := (subscriber{s: s}).Pull(t.Context(), &pb.PullRequest{Subscription: sub, MaxMessages: n, ReturnImmediately: true})
	if err != nil {
		return nil
	}
	return res.ReceivedMessages
}

func TestCompaction_boundsTheDisk(t *testing.T) {
	dir := t.TempDir()
	const limit = 64 << 10
	s := start(t, Options{Dir: dir, CompactBytes: limit})
	makeTopics(t, s, trainTopic)
	makeSub(t, s, &pb.Subscription{Name: trainSub, Topic: trainTopic})
	for range 3000 { // of about 400 bytes each: twenty times the limit
		if err := s.Publish(t.Context(), trainTopic, nil, make([]byte, 400)); err != nil {
			t.Fatal(err)
		}
		for _, m := range pull(t, s, trainSub) {
			q := &pb.AcknowledgeRequest{Subscription: trainSub, AckIds: []string{m.AckId}}
			if _, err := (subscriber{s: s}).Acknowledge(t.Context(), q); err != nil {
				t.Fatal(err)
			}
		}
	}
	for !s.compacting.CompareAndSwap(false, true) { // one may be under way
		runtime.Gosched()
	}
	if snapshots, _ := filepath.Glob(filepath.Join(dir, "snapshot-*")); len(snapshots) == 0 {
		t.Errorf("no snapshot after twenty times the limit")
	}
	s.compact()
	total := int64(0)
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		info, err := os.Stat(f)
		if err != nil {
			t.Fatal(err)
		}
		total += info.Size()
	}
	if total > 1<<10 {
		t.Errorf("%d bytes on disk in %q, with nothing owed", total, files)
	}
}

// FuzzReplay: a frame that passed its checksum and is still not ours is an
// error, never a panic or a huge allocation.
func FuzzReplay(f *testing.F) {
	frame, err := appendSub(nil, 1, &pb.Subscription{Name: trainSub, Topic: trainTopic})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(frame)
	f.Add(appendFail(appendAck(frame, 1, []uint64{1, 2}), 1, 3, 4, time.Unix(0, 5)))
	f.Add(appendPublish(appendHighestIDs(nil, 1, 1), 2, time.Unix(0, 5), []uint64{1}, []byte{10, 1, 'x'}))
	f.Add([]byte{recordPublish, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, frame []byte) {
		s := &Server{o: Options{}.withDefaults(), topics: map[string]*topic{}, subs: map[string]*subscription{},
			byUID: map[uint64]*subscription{}, kick: make(chan struct{}, 1)}
		if s.replay(frame) == nil {
			c := s.capture()
			for _, err := range c.frames() {
				if err != nil {
					t.Errorf("a state that was read cannot be written: %v", err)
				}
			}
		}
	})
}
