package storage

import (
	"context"
	"encoding/json"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/litterloop/litterloop/localcloud/storage/internal/store"
)

const payloadJSON = "JSON_API_V1"

// Publishing again after a failure waits from minBackoff, doubling, to maxBackoff.
const (
	minBackoff = 100 * time.Millisecond
	maxBackoff = 10 * time.Second
)

// publishers is how many notifications are published at once.
const publishers = 8

// dispatcher publishes the store's events and tells it which are done.
type dispatcher struct {
	notify    func(ctx context.Context, topic string, attributes map[string]string, data []byte) error
	delivered func(ids []int64)
	allowed   func(topic string) error
	log       *slog.Logger
}

// attempt is an event on its way out.
type attempt struct {
	event   store.Event
	backoff time.Duration // before the next, should this one fail
	err     error
}

// run publishes until ctx or the channel ends. An event whose topic fails waits
// its turn again without holding up the others; on the disk it stays until it is
// delivered, so what is in flight when run ends is published after a restart.
func (d *dispatcher) run(ctx context.Context, events <-chan []store.Event) {
	ctx, stop := context.WithCancel(ctx)
	out, results, again := make(chan *attempt), make(chan *attempt), make(chan *attempt)
	var group sync.WaitGroup
	defer group.Wait()
	defer stop()
	for range publishers {
		group.Go(func() { d.publisher(ctx, out, results) })
	}
	var queue []*attempt
	for {
		var next *attempt
		var send chan<- *attempt // nil, and never ready, while nothing waits
		if len(queue) > 0 {
			next, send = queue[0], out
		}
		select {
		case batch, ok := <-events:
			if !ok {
				return
			}
			for _, e := range batch {
				queue = append(queue, &attempt{event: e, backoff: minBackoff})
			}
		case send <- next:
			queue = queue[1:]
		case a := <-again:
			queue = append(queue, a)
		case a := <-results:
			if a.err == nil {
				d.delivered([]int64{a.event.ID})
				continue
			}
			level := slog.LevelDebug // the first failure says it all
			if a.backoff == minBackoff {
				level = slog.LevelWarn
			}
			d.log.Log(ctx, level, "storage: a notification waits to be published again", "topic", a.event.Notification.Topic, "object", a.event.Object.Name, "in", a.backoff, "err", a.err)
			pause := a.backoff
			a.backoff = min(2*a.backoff, maxBackoff)
			time.AfterFunc(pause, func() {
				select {
				case again <- a:
				case <-ctx.Done():
				}
			})
		case <-ctx.Done():
			return
		}
	}
}

func (d *dispatcher) publisher(ctx context.Context, out <-chan *attempt, results chan<- *attempt) {
	for {
		select {
		case a := <-out:
			a.err = d.publish(ctx, a.event)
			select {
			case results <- a:
			case <-ctx.Done():
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

func (d *dispatcher) publish(ctx context.Context, e store.Event) error {
	if d.notify == nil {
		return nil
	}
	attributes, data, err := message(e)
	if err != nil {
		return err
	}
	if err := d.allowed(e.Notification.Topic); err != nil {
		return err
	}
	return d.notify(ctx, e.Notification.Topic, attributes, data)
}

// message is e as Cloud Storage publishes it; see
// https://cloud.google.com/storage/docs/pubsub-notifications#format.
func message(e store.Event) (attributes map[string]string, data []byte, err error) {
	o := e.Object
	attributes = map[string]string{}
	for k, v := range e.Notification.Attributes {
		attributes[k] = v
	}
	for k, v := range map[string]string{
		"notificationConfig": notificationName(e.Notification),
		"eventType":          e.Type,
		"payloadFormat":      e.Notification.PayloadFormat,
		"bucketId":           o.Bucket,
		"objectId":           o.Name,
		"objectGeneration":   strconv.FormatInt(o.Generation, 10),
		"eventTime":          timestamp(e.At),
	} {
		attributes[k] = v
	}
	if e.Overwrote != 0 {
		attributes["overwroteGeneration"] = strconv.FormatInt(e.Overwrote, 10)
	}
	if e.OverwrittenBy != 0 {
		attributes["overwrittenByGeneration"] = strconv.FormatInt(e.OverwrittenBy, 10)
	}
	if e.Notification.PayloadFormat != payloadJSON {
		return attributes, nil, nil
	}
	data, err = json.MarshalIndent(resource(o, ""), "", "  ")
	return attributes, data, err
}

func notificationName(n *store.Notification) string {
	return "projects/_/buckets/" + n.Bucket + "/notificationConfigs/" + n.ID
}
