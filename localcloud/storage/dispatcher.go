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
	log       *slog.Logger
}

// run takes events until the channel or ctx ends. An event waits here in memory
// while its topic fails; on the disk it stays until it is delivered.
func (d *dispatcher) run(ctx context.Context, events <-chan []store.Event) {
	var group sync.WaitGroup
	defer group.Wait()
	slots := make(chan struct{}, publishers)
	for {
		var batch []store.Event
		var ok bool
		select {
		case batch, ok = <-events:
			if !ok {
				return
			}
		case <-ctx.Done():
			return
		}
		done := make([]int64, 0, len(batch))
		var mu sync.Mutex
		var pending sync.WaitGroup
		for _, e := range batch {
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				return
			}
			pending.Add(1)
			group.Go(func() {
				defer pending.Done()
				err := d.publish(ctx, e)
				<-slots
				if err != nil {
					d.log.Warn("storage: a notification waits", "topic", e.Notification.Topic, "object", e.Object.Name, "err", err)
					group.Go(func() { d.retry(ctx, e) })
					return
				}
				mu.Lock()
				done = append(done, e.ID)
				mu.Unlock()
			})
		}
		pending.Wait()
		if len(done) > 0 {
			d.delivered(done)
		}
	}
}

func (d *dispatcher) retry(ctx context.Context, e store.Event) {
	for backoff := minBackoff; wait(ctx, backoff) == nil; backoff = min(2*backoff, maxBackoff) {
		if d.publish(ctx, e) == nil {
			d.delivered([]int64{e.ID})
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
