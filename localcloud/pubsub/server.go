// Package pubsub is Google Cloud Pub/Sub on one machine: the Publisher and
// Subscriber services over gRPC and JSON, push and pull, retry policies, dead
// letters and filters. The unmodified Google clients work against it.
//
// Delivery is at least once and unordered. A publish is answered when it is on
// disk for every subscription that wants it, so it survives kill -9.
package pubsub

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc"

	"github.com/litterloop/litterloop/localcloud/pubsub/internal/journal"
)

// Server is a Pub/Sub. It is safe for concurrent use.
type Server struct {
	o       Options
	journal *journal.Journal
	signer  *signer
	rest    http.Handler

	ctx        context.Context // ends when Close begins
	stop       context.CancelFunc
	work       sync.WaitGroup // pushes, the timekeeper, a compaction
	compacting atomic.Bool

	mu      sync.Mutex // guards everything below, and the order of the journal
	topics  map[string]*topic
	subs    map[string]*subscription // by full name
	byUID   map[uint64]*subscription
	lastID  uint64 // of a message
	lastUID uint64 // of a subscription
	due     dueHeap
	kick    chan struct{} // the earliest due time changed
	rand    *rand.Rand
	closed  bool
}

// New opens the state in o.Dir and starts delivering what is still owed.
func New(o Options) (*Server, error) {
	if o.Dir == "" {
		return nil, errors.New("pubsub: Options.Dir is empty")
	}
	s := &Server{
		o:      o.withDefaults(),
		topics: map[string]*topic{},
		subs:   map[string]*subscription{},
		byUID:  map[uint64]*subscription{},
		kick:   make(chan struct{}, 1),
		rand:   rand.New(rand.NewPCG(o.Faults.Seed, o.Faults.Seed)),
	}
	var err error
	if s.signer, err = newSigner(s.o.Now); err != nil {
		return nil, err
	}
	s.rest = s.routes()
	s.ctx, s.stop = context.WithCancel(context.Background())

	var dropped int64
	s.journal, dropped, err = journal.Open(o.Dir, journal.Options{Fsync: o.Fsync}, s.replay)
	if err != nil {
		return nil, fmt.Errorf("pubsub: open %s: %w", o.Dir, err)
	}
	if dropped > 0 {
		s.o.Log.Warn("pubsub: cut off an unfinished record that was never answered", "dir", o.Dir, "bytes", dropped)
	}
	// Ids are never reused: a message delivered but not yet durable when the
	// process died must not share its id with a later one.
	s.lastID = max(s.lastID, uint64(s.o.Now().UnixMicro()))
	s.mu.Lock()
	for _, sub := range s.subs {
		s.pump(sub)
	}
	s.mu.Unlock()
	s.work.Go(s.keepTime)
	return s, nil
}

// Register adds the Publisher and Subscriber services. The gRPC server needs
// ServerOptions.
func (s *Server) Register(r grpc.ServiceRegistrar) {
	pb.RegisterPublisherServer(r, publisher{s: s})
	pb.RegisterSubscriberServer(r, subscriber{s: s})
}

// ServerOptions are what a gRPC server needs to serve these services.
func ServerOptions() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.MaxRecvMsgSize(MaxRequestBytes),
		grpc.MaxConcurrentStreams(1000),
	}
}

// Token signs an identity token of the shape that Google sends with a push, for
// other senders of the local cloud. It proves nothing outside this process.
func (s *Server) Token(email, audience string) (string, error) {
	return s.signer.token(email, audience)
}

// Identify verifies a token that Token made, and returns what it was made for.
func (s *Server) Identify(token string) (email, audience string, err error) {
	who, err := s.signer.verify(token)
	return who.email, who.audience, err
}

// Close stops delivering, writes what is pending and releases Dir. Pushes in
// flight are cut off and delivered again after the next start.
func (s *Server) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.mu.Unlock()
	s.stop()
	s.work.Wait()
	return s.journal.Close()
}

// commit makes p durable, and starts a compaction when the journal grew enough.
func (s *Server) commit(p journal.Position) error {
	if err := s.journal.Commit(p); err != nil {
		return err
	}
	if s.journal.Overgrown(s.o.CompactBytes) && s.compacting.CompareAndSwap(false, true) {
		s.mu.Lock()
		if s.closed {
			s.compacting.Store(false)
		} else {
			s.work.Go(s.compact)
		}
		s.mu.Unlock()
	}
	return nil
}

// keepTime ends leases, back-offs and delays when they are due.
func (s *Server) keepTime() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-s.kick:
		case <-timer.C:
		}
		if wait, some := s.elapse(); some {
			timer.Reset(wait)
		} else {
			timer.Stop()
		}
	}
}

// elapse handles everything that is due and says how long until the next.
func (s *Server) elapse() (wait time.Duration, some bool) {
	s.mu.Lock()
	now := s.o.Now()
	var last journal.Position
	for len(s.due) > 0 && !s.due[0].due.After(now) {
		d := s.due[0]
		s.due.remove(d)
		if d.state == leased {
			last = max(last, s.fail(d, "the acknowledgement deadline passed"))
			continue
		}
		s.ready(d)
	}
	if some = len(s.due) > 0; some {
		wait = s.due[0].due.Sub(now)
	}
	s.mu.Unlock()
	if last > 0 {
		if err := s.commit(last); err != nil {
			s.o.Log.Error("pubsub: record failed deliveries", "error", err)
		}
	}
	return wait, some
}

// schedule puts d on the clock; s.mu is held.
func (s *Server) schedule(d *delivery, at time.Time) {
	d.due = at
	s.due.add(d)
	if s.due[0] == d {
		select {
		case s.kick <- struct{}{}:
		default:
		}
	}
}
