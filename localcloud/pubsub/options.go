package pubsub

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/litterloop/litterloop/localcloud/iam"
)

// Limits of Google Cloud Pub/Sub that clients rely on.
const (
	// MaxRequestBytes is the largest publish request. A grpc.Server that serves
	// these services needs grpc.MaxRecvMsgSize of at least this (its default is
	// 4 MiB); see ServerOptions.
	MaxRequestBytes = 10<<20 + 64<<10

	maxPublishBytes   = 10 << 20
	maxPublishCount   = 1000
	maxAttributes     = 100
	maxAttributeKey   = 256
	maxAttributeValue = 1024
)

// Options of a Server. Dir is required.
type Options struct {
	// Dir holds the journal. One process at a time may have it open.
	Dir string
	// Fsync makes every answer wait for the disk, so that it also survives the
	// loss of power. Without it an answer survives the death of the process.
	Fsync bool
	// Log receives what an operator should know: failed pushes, dead letters.
	// Default: discarded.
	Log *slog.Logger
	// Now is the clock; default time.Now.
	Now func() time.Time
	// HTTPClient sends pushes; default: one with connections kept per endpoint.
	HTTPClient *http.Client
	// MaxPushes bounds the push requests in flight for one subscription. A
	// subscription starts with one; each success allows one more, each failure
	// halves what is allowed. Default 32.
	MaxPushes int
	// CompactBytes is how far the journal grows before a snapshot of what is
	// still owed replaces it (further, when the snapshot is larger). It bounds
	// what a start has to replay. Default 8 MiB.
	CompactBytes int64
	// Access decides what callers may do; nil allows everything.
	Access *iam.Authorizer
	// Agent is the principal that moves dead letters: it needs
	// pubsub.topics.publish on their topic and pubsub.subscriptions.consume on
	// the subscription.
	Agent string
	// Faults are injected on purpose; the zero value injects none.
	Faults Faults
}

// Faults are what at-least-once, unordered delivery permits, made frequent.
// The same seed and the same order of calls give the same faults.
type Faults struct {
	Seed      uint64        `yaml:"seed" json:"seed"`
	Duplicate float64       `yaml:"duplicate" json:"duplicate"` // share of deliveries repeated after their acknowledgement
	Reorder   float64       `yaml:"reorder" json:"reorder"`     // share of messages put at a random place in the backlog
	Delay     float64       `yaml:"delay" json:"delay"`         // share of messages held back
	MaxDelay  time.Duration `yaml:"max_delay" json:"max_delay"` // longest that one is held back
	// AfterCommit, when set, runs when a publish is durable and not yet answered:
	// the place to die, to prove that a publisher's retry is harmless.
	AfterCommit func() `yaml:"-" json:"-"`
}

func (o Options) withDefaults() Options {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.MaxPushes <= 0 {
		o.MaxPushes = 32
	}
	if o.CompactBytes <= 0 {
		o.CompactBytes = 8 << 20
	}
	if o.HTTPClient == nil {
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.Proxy = nil // endpoints of the local cloud are on loopback
		t.MaxIdleConnsPerHost = o.MaxPushes
		o.HTTPClient = &http.Client{
			Transport: t,
			// A redirect is a failed push, as in Pub/Sub.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
	}
	return o
}
