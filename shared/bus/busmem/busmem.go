// Package busmem is a bus that remembers what was published, for tests.
package busmem

import (
	"context"
	"sync"

	"github.com/litterloop/litterloop/shared/event"
)

// Message is one published event.
type Message struct {
	Topic string
	Event event.Event
}

// Bus remembers what was published. Its zero value is ready. Fail, when set,
// is asked before each publish and its error returned.
type Bus struct {
	Fail func(topic string) error

	mu       sync.Mutex
	messages []Message
}

// Publish implements bus.Publisher.
func (b *Bus) Publish(_ context.Context, topic string, e event.Event) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.Fail != nil {
		if err := b.Fail(topic); err != nil {
			return err
		}
	}
	b.messages = append(b.messages, Message{topic, e})
	return nil
}

// Messages returns a copy of what was published, in order.
func (b *Bus) Messages() []Message {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]Message(nil), b.messages...)
}
