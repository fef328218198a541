package pubsub

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/litterloop/litterloop/localcloud/pubsub/internal/filter"
)

// A journal frame is one or more records, each a kind byte and its fields as
// unsigned varints and length-prefixed bytes. All records of a frame happen
// together or not at all.
const (
	recordTopic      = 1 // put: topic
	recordNoTopic    = 2 // deleted: name
	recordSub        = 3 // put: uid, subscription
	recordNoSub      = 4 // deleted: uid
	recordPublish    = 5 // id, publish time in ns, subscriptions owed (count, uids), message
	recordAck        = 6 // uid, message ids (count, ids)
	recordFail       = 7 // uid, id, failures so far, due time in ns
	recordHighestIDs = 8 // last message id, last subscription uid
)

func appendBytes(b, field []byte) []byte {
	return append(binary.AppendUvarint(b, uint64(len(field))), field...)
}

func appendUints(b []byte, vs ...uint64) []byte {
	for _, v := range vs {
		b = binary.AppendUvarint(b, v)
	}
	return b
}

func appendTopic(b []byte, t *pb.Topic) ([]byte, error) {
	p, err := proto.Marshal(t)
	if err != nil {
		return nil, fmt.Errorf("encode topic %s: %w", t.Name, err)
	}
	return appendBytes(append(b, recordTopic), p), nil
}

func appendNoTopic(b []byte, name string) []byte {
	return appendBytes(append(b, recordNoTopic), []byte(name))
}

func appendSub(b []byte, uid uint64, c *pb.Subscription) ([]byte, error) {
	p, err := proto.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("encode subscription %s: %w", c.Name, err)
	}
	return appendBytes(appendUints(append(b, recordSub), uid), p), nil
}

func appendNoSub(b []byte, uid uint64) []byte { return appendUints(append(b, recordNoSub), uid) }

// appendPublish takes the message already encoded, without id and time.
func appendPublish(b []byte, id uint64, at time.Time, uids []uint64, encoded []byte) []byte {
	b = appendUints(append(b, recordPublish), id, uint64(at.UnixNano()), uint64(len(uids)))
	return appendBytes(appendUints(b, uids...), encoded)
}

func appendAck(b []byte, uid uint64, ids []uint64) []byte {
	return appendUints(appendUints(append(b, recordAck), uid, uint64(len(ids))), ids...)
}

func appendFail(b []byte, uid, id uint64, failures int, due time.Time) []byte {
	return appendUints(append(b, recordFail), uid, id, uint64(failures), uint64(due.UnixNano()))
}

func appendHighestIDs(b []byte, id, uid uint64) []byte {
	return appendUints(append(b, recordHighestIDs), id, uid)
}

var errShortRecord = errors.New("record ends early")

// decoder takes fields off a frame; its first error sticks.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) uint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.b, d.err = nil, errShortRecord
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) bytes() []byte {
	n := d.uint()
	if n > uint64(len(d.b)) {
		d.b, d.err = nil, errShortRecord
		return nil
	}
	p := d.b[:n]
	d.b = d.b[n:]
	return p
}

func (d *decoder) uints() []uint64 {
	n := d.uint()
	if n > uint64(len(d.b)) { // each takes a byte at least
		d.b, d.err = nil, errShortRecord
		return nil
	}
	vs := make([]uint64, n)
	for i := range vs {
		vs[i] = d.uint()
	}
	return vs
}

// replay applies one frame to the state, before anything is served.
func (s *Server) replay(frame []byte) error {
	d := &decoder{b: frame}
	for len(d.b) > 0 {
		kind := d.b[0]
		d.b = d.b[1:]
		if err := s.replayRecord(kind, d); err != nil {
			return fmt.Errorf("record of kind %d: %w", kind, err)
		}
		if d.err != nil {
			return fmt.Errorf("record of kind %d: %w", kind, d.err)
		}
	}
	return nil
}

func (s *Server) replayRecord(kind byte, d *decoder) error {
	switch kind {
	case recordTopic:
		t := &pb.Topic{}
		if err := proto.Unmarshal(d.bytes(), t); err != nil {
			return err
		}
		s.applyTopic(t)
	case recordNoTopic:
		s.applyNoTopic(string(d.bytes()))
	case recordSub:
		uid, c := d.uint(), &pb.Subscription{}
		if err := proto.Unmarshal(d.bytes(), c); err != nil {
			return err
		}
		f, err := filter.Parse(c.Filter)
		if err != nil {
			return err
		}
		s.applySub(uid, c, f)
	case recordNoSub:
		s.applyNoSub(d.uint())
	case recordPublish:
		id, at, uids := d.uint(), int64(d.uint()), d.uints()
		encoded := d.bytes()
		m := &pb.PubsubMessage{}
		if err := proto.Unmarshal(encoded, m); err != nil {
			return err
		}
		s.lastID = max(s.lastID, id)
		s.applyPublish(newMessage(id, time.Unix(0, at), m, len(encoded)), uids)
	case recordAck:
		uid := d.uint()
		for _, id := range d.uints() {
			if sub := s.byUID[uid]; sub != nil {
				s.settle(sub.owed[id])
			}
		}
	case recordFail:
		uid, id, failures, due := d.uint(), d.uint(), d.uint(), int64(d.uint())
		if sub := s.byUID[uid]; sub != nil && sub.owed[id] != nil {
			o := sub.owed[id]
			o.failures, o.state = int(failures), waiting
			s.schedule(o, time.Unix(0, due))
		}
	case recordHighestIDs:
		s.lastID, s.lastUID = max(s.lastID, d.uint()), max(s.lastUID, d.uint())
	default:
		return errors.New("unknown: written by a newer version?")
	}
	return nil
}

func newMessage(id uint64, at time.Time, m *pb.PubsubMessage, size int) *message {
	m.MessageId, m.PublishTime = formatID(id), timestamppb.New(at)
	return &message{PubsubMessage: m, id: id, size: size}
}
