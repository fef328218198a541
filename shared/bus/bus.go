// Package bus is the port to the event bus: topics that functions publish to.
// Adapters: buspubsub (Google Cloud Pub/Sub), busmem (tests).
package bus

import (
	"context"

	"github.com/litterloop/litterloop/shared/event"
)

// Topics of the loop. What each carries is in package event.
const (
	IncomingObjects = "incoming-objects" // storage notifications of the incoming bucket
	DatasetObjects  = "dataset-objects"  // storage notifications of the datasets bucket
	Train           = "train"
	Register        = "register"
	Deploy          = "deploy"
	Retrain         = "retrain"
	Alerts          = "alerts"
	DeadLetters     = "dead-letters"
)

// Publisher publishes one event and returns once the bus has it for good. Any
// error means that the event may be lost: the caller must not acknowledge what
// it was handling.
type Publisher interface {
	Publish(ctx context.Context, topic string, e event.Event) error
}
