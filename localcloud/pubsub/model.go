package pubsub

import (
	"container/heap"
	"math/rand/v2"
	"slices"
	"time"

	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"

	"github.com/litterloop/litterloop/localcloud/pubsub/internal/filter"
)

type topic struct {
	config *pb.Topic
	subs   []*subscription // in order of creation
}

// message is what one publish brought. It is shared by the deliveries of every
// subscription and never changes.
type message struct {
	*pb.PubsubMessage
	id   uint64
	size int
}

// subscription is one subscriber's view: what it is still owed.
type subscription struct {
	uid     uint64 // of this incarnation: a subscription made again owes nothing old
	config  *pb.Subscription
	filter  filter.Filter
	owed    map[uint64]*delivery // by message id: published and not acknowledged
	backlog queue                // deliverable now
	wake    chan struct{}        // closed when the backlog gains something; nil when nobody waits
	pushing int                  // push requests in flight
	window  int                  // how many may be
	count   counters

	probe     *delivery // while nobody listens on the endpoint: who finds out; nothing else is pushed
	unreached int       // how often in a row nobody did
}

func (sub *subscription) push() bool { return sub.config.GetPushConfig().GetPushEndpoint() != "" }

func (sub *subscription) ackDeadline() time.Duration {
	return time.Duration(sub.config.AckDeadlineSeconds) * time.Second
}

// changed is closed when the backlog gains something; the server's lock is held.
func (sub *subscription) changed() <-chan struct{} {
	if sub.wake == nil {
		sub.wake = make(chan struct{})
	}
	return sub.wake
}

func (sub *subscription) notify() {
	if sub.wake != nil {
		close(sub.wake)
		sub.wake = nil
	}
}

// roomier wakes streams whose client may have room again.
func (sub *subscription) roomier() {
	if sub.wake != nil && sub.backlog.peek() != nil {
		sub.notify()
	}
}

type state uint8

const (
	waiting state = iota // on the clock: back-off or delay
	queued               // in the backlog
	leased               // at a subscriber
	settled              // acknowledged, dead-lettered or dropped
)

// delivery is one message owed to one subscription.
type delivery struct {
	sub      *subscription
	message  *message
	state    state
	failures int       // attempts that were not acknowledged
	lease    uint64    // counts leases; stale deadlines changes are told apart by it
	due      time.Time // while on the clock
	place    int       // in the heap, plus one; 0 when not in it
	repeat   bool      // the fault of delivering it again was drawn already
}

// dueHeap orders deliveries by when something happens to them.
type dueHeap []*delivery

func (h dueHeap) Len() int           { return len(h) }
func (h dueHeap) Less(i, j int) bool { return h[i].due.Before(h[j].due) }
func (h dueHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i+1, j+1
}
func (h *dueHeap) Push(x any) { d := x.(*delivery); *h = append(*h, d); d.place = len(*h) }
func (h *dueHeap) Pop() any {
	old := *h
	d := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	d.place = 0
	return d
}

// add puts d in, or moves it when it is in already.
func (h *dueHeap) add(d *delivery) {
	if d.place > 0 {
		heap.Fix(h, d.place-1)
		return
	}
	heap.Push(h, d)
}

func (h *dueHeap) remove(d *delivery) {
	if d.place > 0 {
		heap.Remove(h, d.place-1)
	}
}

// queue is first in, first out. Settled deliveries are skipped, not searched.
type queue struct {
	items []*delivery
	head  int
}

func (q *queue) add(d *delivery) { q.items = append(q.items, d) }

// addFirst puts d before all others.
func (q *queue) addFirst(d *delivery) {
	if q.head > 0 {
		q.head--
		q.items[q.head] = d
		return
	}
	q.items = slices.Insert(q.items, 0, d)
}

// peek returns the next deliverable one without taking it, or nil.
func (q *queue) peek() *delivery {
	for q.head < len(q.items) {
		if d := q.items[q.head]; d.state == queued {
			return d
		}
		q.drop()
	}
	return nil
}

// next takes the next deliverable one; nil when there is none.
func (q *queue) next() *delivery {
	d := q.peek()
	if d != nil {
		q.drop()
	}
	return d
}

// drop removes the head, and gives back room once half of it is unused.
func (q *queue) drop() {
	q.items[q.head] = nil
	q.head++
	if q.head == len(q.items) || q.head > 1024 && q.head > len(q.items)/2 {
		n := copy(q.items, q.items[q.head:])
		clear(q.items[n:])
		q.items, q.head = q.items[:n], 0
	}
}

// shuffleLast moves the newest one to a random place.
func (q *queue) shuffleLast(r *rand.Rand) {
	last := len(q.items) - 1
	other := q.head + r.IntN(last-q.head+1)
	q.items[last], q.items[other] = q.items[other], q.items[last]
}
