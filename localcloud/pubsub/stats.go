package pubsub

import (
	"cmp"
	"slices"
	"time"
)

// counters of one subscription since the process started.
type counters struct {
	published, delivered, acked, retried, dead int
	lastError                                  string
}

// SubscriptionStats says how one subscription fares. Counts are since the start
// of the process, except Waiting.
type SubscriptionStats struct {
	Subscription string `json:"subscription"` // projects/P/subscriptions/S
	Topic        string `json:"topic"`
	Push         bool   `json:"push"`
	Published    int    `json:"published"` // messages it became owed
	Delivered    int    `json:"delivered"` // attempts, repeats included
	Acked        int    `json:"acked"`
	Retried      int    `json:"retried"`              // attempts that failed
	Dead         int    `json:"dead"`                 // moved to its dead-letter topic
	Waiting      int    `json:"waiting"`              // owed now: not acknowledged
	LastError    string `json:"last_error,omitempty"` // of a push

	Oldest time.Time `json:"oldest,omitzero"` // publish time of the oldest that waits
}

// Stats reports every subscription, by name.
func (s *Server) Stats() []SubscriptionStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]SubscriptionStats, 0, len(s.subs))
	for _, sub := range s.subs {
		c := sub.count
		out = append(out, SubscriptionStats{
			Subscription: sub.config.Name, Topic: sub.config.Topic, Push: sub.push(),
			Published: c.published, Delivered: c.delivered, Acked: c.acked, Retried: c.retried, Dead: c.dead,
			Waiting: len(sub.owed), LastError: c.lastError, Oldest: sub.oldest(),
		})
	}
	slices.SortFunc(out, func(a, b SubscriptionStats) int { return cmp.Compare(a.Subscription, b.Subscription) })
	return out
}

// oldest is the publish time of the oldest message owed; zero when none is.
func (sub *subscription) oldest() (at time.Time) {
	for _, d := range sub.owed {
		if published := d.message.PublishTime.AsTime(); at.IsZero() || published.Before(at) {
			at = published
		}
	}
	return at
}

// Waiting is how many messages push subscriptions are still owed: 0 when
// everything published has been handled or dead-lettered.
func (s *Server) Waiting() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, sub := range s.subs {
		if sub.push() {
			n += len(sub.owed)
		}
	}
	return n
}
