package pubsub

import (
	"cmp"
	"iter"
	"maps"
	"slices"
	"time"

	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/protobuf/proto"
)

// owedMessage is a message and who is still owed it, captured for a snapshot.
type owedMessage struct {
	message *message
	uids    []uint64
}

type failure struct {
	uid, id  uint64
	failures int
	due      time.Time
}

// capture is the whole state at one place in the journal. What it points to
// never changes.
type capture struct {
	topics          []*pb.Topic
	subs            map[uint64]*pb.Subscription
	owed            []owedMessage
	failures        []failure
	lastID, lastUID uint64
}

// compact replaces the journal so far by a snapshot of what is still owed.
func (s *Server) compact() {
	defer s.compacting.Store(false)
	s.mu.Lock()
	n, err := s.journal.Rotate()
	var c capture
	if err == nil {
		c = s.capture()
	}
	s.mu.Unlock()
	if err == nil {
		err = s.journal.Snapshot(n, c.frames())
	}
	if err != nil {
		s.o.Log.Error("pubsub: compact the journal; it goes on growing", "dir", s.o.Dir, "error", err)
	}
}

func (s *Server) capture() capture {
	c := capture{subs: make(map[uint64]*pb.Subscription, len(s.byUID)), lastID: s.lastID, lastUID: s.lastUID}
	for _, t := range s.topics {
		c.topics = append(c.topics, t.config)
	}
	owed := map[*message][]uint64{}
	for uid, sub := range s.byUID {
		c.subs[uid] = sub.config
		for id, d := range sub.owed {
			owed[d.message] = append(owed[d.message], uid)
			if d.failures > 0 {
				c.failures = append(c.failures, failure{uid, id, d.failures, d.due})
			}
		}
	}
	for m, uids := range owed {
		c.owed = append(c.owed, owedMessage{m, uids})
	}
	slices.SortFunc(c.owed, func(a, b owedMessage) int { return cmp.Compare(a.message.id, b.message.id) })
	return c
}

// frames encodes the capture as records, one to a frame. An error ends it.
func (c capture) frames() iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		if !yield(appendHighestIDs(nil, c.lastID, c.lastUID), nil) {
			return
		}
		var buf []byte
		for _, t := range c.topics {
			var err error
			if buf, err = appendTopic(buf[:0], t); !yield(buf, err) {
				return
			}
		}
		for _, uid := range slices.Sorted(maps.Keys(c.subs)) {
			var err error
			if buf, err = appendSub(buf[:0], uid, c.subs[uid]); !yield(buf, err) {
				return
			}
		}
		for _, o := range c.owed {
			m := &pb.PubsubMessage{Data: o.message.Data, Attributes: o.message.Attributes, OrderingKey: o.message.OrderingKey}
			encoded, err := proto.Marshal(m)
			buf = appendPublish(buf[:0], o.message.id, o.message.PublishTime.AsTime(), o.uids, encoded)
			if !yield(buf, err) {
				return
			}
		}
		for _, f := range c.failures {
			buf = appendFail(buf[:0], f.uid, f.id, f.failures, f.due)
			if !yield(buf, nil) {
				return
			}
		}
	}
}
