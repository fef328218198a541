// Package storage is Cloud Storage on one machine: its JSON API (and the XML
// API's object reads and writes) over a directory. What it answered with success
// survives kill -9, and so does the notification of it.
package storage

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"github.com/litterloop/litterloop/localcloud/iam"
	"github.com/litterloop/litterloop/localcloud/storage/internal/store"
)

// Options configure a Server.
type Options struct {
	// Dir is where everything is kept; it is created. One process at a time.
	Dir string
	// Fsync makes what was acknowledged survive a power cut, at the price of a
	// flush for each group of writes. Without it, it survives kill -9.
	Fsync bool
	// Notify publishes one storage notification to topic, which is
	// projects/PROJECT/topics/TOPIC. It is repeated until it returns nil, after
	// a restart too, so the same notification may be published twice. It is
	// called from several goroutines. nil drops notifications.
	Notify func(ctx context.Context, topic string, attributes map[string]string, data []byte) error
	// Log receives what an operator should know; nil is silent.
	Log *slog.Logger
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	// Access decides what callers may do; nil allows everything.
	Access *iam.Authorizer
	// Agent is the principal that publishes notifications: it needs
	// pubsub.topics.publish on their topics.
	Agent string
	// Faults makes the server misbehave on purpose.
	Faults Faults
}

// Server serves the API. Use New.
type Server struct {
	opts    Options
	store   *store.Store
	faults  *faults
	uploads *sessions
	stop    context.CancelFunc
	ended   sync.WaitGroup
}

// New opens (or makes) the storage in o.Dir and starts delivering the
// notifications that an earlier process left.
func New(o Options) (*Server, error) {
	if o.Dir == "" {
		return nil, errors.New("open local storage: no directory given")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	f := newFaults(o.Faults)
	st, err := store.Open(store.Options{Dir: filepath.Join(o.Dir, "objects"), Fsync: o.Fsync, Now: o.Now, Log: o.Log, Committed: f.committed})
	if err != nil {
		return nil, err
	}
	uploads, err := openSessions(filepath.Join(o.Dir, "uploads"), o.Now)
	if err != nil {
		st.Close()
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	s := &Server{opts: o, store: st, faults: f, uploads: uploads, stop: stop}
	d := &dispatcher{notify: o.Notify, delivered: st.Delivered, log: o.Log, allowed: func(topic string) error {
		return o.Access.Allowed(o.Agent, "pubsub.topics.publish", topic)
	}}
	s.ended.Go(func() { d.run(ctx, st.Events()) })
	return s, nil
}

// Close ends the delivery of notifications and closes the files. Requests still
// under way are answered with 503; undelivered notifications wait for the next New.
func (s *Server) Close() error {
	s.stop()
	s.ended.Wait()
	return s.store.Close()
}

// CreateBucket makes a bucket; one that exists already is no error.
func (s *Server) CreateBucket(_ context.Context, name string) error {
	if err := checkBucketName(name); err != nil {
		return err
	}
	_, err := s.store.CreateBucket(&store.Bucket{Name: name})
	if errors.Is(err, store.ErrBucketExists) {
		return nil
	}
	return err
}

// Notification asks for messages about a bucket's objects.
type Notification struct {
	// Topic is projects/PROJECT/topics/TOPIC.
	Topic string
	// Prefix limits it to objects whose names start so; empty: all.
	Prefix string
	// EventTypes limits it (OBJECT_FINALIZE, OBJECT_METADATA_UPDATE,
	// OBJECT_DELETE); empty: all.
	EventTypes []string
	// Attributes are added to each message.
	Attributes map[string]string
}

// PutNotification puts n in force for a bucket; where the same is in force
// already nothing changes.
func (s *Server) PutNotification(_ context.Context, bucket string, n Notification) error {
	_, err := s.store.AddNotification(store.Notification{
		Bucket: bucket, Topic: n.Topic, Prefix: n.Prefix, EventTypes: n.EventTypes, Attributes: n.Attributes, PayloadFormat: payloadJSON,
	}, true)
	return err
}

var _ http.Handler = (*Server)(nil)
