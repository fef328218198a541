// Package buspubsub publishes events on Google Cloud Pub/Sub, or on what speaks
// its protocol.
package buspubsub

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"cloud.google.com/go/pubsub/v2"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/event"
	"github.com/litterloop/litterloop/shared/telemetry"
)

// CodeRefused marks an event that Pub/Sub will never take: too large, or with
// an attribute outside its limits.
const CodeRefused errs.Code = "event-refused"

// delay is how long an event waits for others to share its request. The
// client's own 10 ms would be most of the latency of a lone event.
const delay = time.Millisecond

// maxAttribute is Pub/Sub's limit for one attribute's value, in bytes.
const maxAttribute = 1024

var errClosed = errors.New("the publisher is closed")

// Publisher implements bus.Publisher. It is safe for concurrent use; events of
// parallel callers share requests. Close it to let its goroutines go.
type Publisher struct {
	client *pubsub.Client

	mu     sync.Mutex
	topics map[string]*pubsub.Publisher
	closed bool
}

// New publishes to topics of the client's project. The client stays the
// caller's to close, after the Publisher.
func New(client *pubsub.Client) *Publisher {
	return &Publisher{client: client, topics: map[string]*pubsub.Publisher{}}
}

// Publish returns once Pub/Sub has stored e. The topic is an id such as
// "train". The span of ctx, else e.Trace, travels in the attributes.
//
// Errors: errs.NotFound when there is no such topic, a permanent error
// (CodeRefused) when Pub/Sub refuses the event itself, errs.Unavailable when
// the event may be lost and publishing again helps. An event may then be
// published twice; its id is the same both times.
func (p *Publisher) Publish(ctx context.Context, topic string, e event.Event) (err error) {
	defer errs.Wrap(&err, "publish %s event %s to topic %q", e.Type, e.ID, topic)
	ctx, span := telemetry.StartKind(telemetry.Continue(ctx, absent(ctx, e.Trace)), trace.SpanKindProducer, "publish "+topic,
		attribute.String("messaging.destination.name", topic), attribute.String("event.id", e.ID))
	defer span.End(&err)
	t, err := p.topic(topic)
	if err != nil {
		return err
	}
	_, err = t.Publish(ctx, &pubsub.Message{Data: e.Data, Attributes: attributes(ctx, e)}).Get(ctx)
	return translate(err)
}

func (p *Publisher) topic(id string) (*pubsub.Publisher, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, fmt.Errorf("%w: %w", errs.Unavailable, errClosed)
	}
	t := p.topics[id]
	if t == nil {
		t = p.client.Publisher(id)
		t.PublishSettings.DelayThreshold = delay
		p.topics[id] = t
	}
	return t, nil
}

// Close waits until everything handed to Publish is answered, then refuses more.
func (p *Publisher) Close() error {
	p.mu.Lock()
	p.closed = true
	topics := maps.Clone(p.topics)
	p.mu.Unlock()
	var wait sync.WaitGroup
	for _, t := range topics {
		wait.Go(t.Stop)
	}
	wait.Wait()
	return nil
}

// absent is the event's own trace where ctx is in none.
func absent(ctx context.Context, carried map[string]string) map[string]string {
	if trace.SpanContextFromContext(ctx).IsValid() {
		return nil
	}
	return carried
}

// attributes are what event.Decode reads on the other side.
func attributes(ctx context.Context, e event.Event) map[string]string {
	carried := telemetry.Carry(ctx)
	if carried == nil {
		carried = e.Trace
	}
	a := map[string]string{
		event.AttrID:   e.ID,
		event.AttrType: string(e.Type),
		event.AttrTime: e.Time.UTC().Format(time.RFC3339Nano),
	}
	for _, k := range []string{event.AttrTraceparent, event.AttrTracestate} {
		// A trace is worth less than its event: a tracestate too long is left out.
		if v := carried[k]; v != "" && len(v) <= maxAttribute {
			a[k] = v
		}
	}
	return a
}

func translate(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, pubsub.ErrPublisherStopped) {
		return fmt.Errorf("%w: %w", errs.Unavailable, err)
	}
	if errors.Is(err, pubsub.ErrOversizedMessage) {
		return errs.Permanent(CodeRefused, err)
	}
	switch status.Code(err) {
	case codes.NotFound:
		return fmt.Errorf("%w: %w", errs.NotFound, err)
	case codes.InvalidArgument, codes.OutOfRange:
		return errs.Permanent(CodeRefused, err)
	case codes.Unavailable, codes.DeadlineExceeded, codes.ResourceExhausted, codes.Aborted, codes.Internal, codes.Canceled, codes.Unknown:
		return fmt.Errorf("%w: %w", errs.Unavailable, err)
	}
	return err // of rights or quota: tried again, and mended by people
}
