package store

import (
	"fmt"
	"os"
)

// maxBatch bounds how many changes share one append (and one fsync).
const maxBatch = 256

// op is a change that the committer is asked to make.
type op struct {
	// key names what decide looks at, so that one batch never holds two changes
	// of one thing. Empty: it looks at more, and gets a batch of its own.
	key string
	// decide sees the state with every earlier change and says what to write,
	// or why not. content is what follows the record.
	decide func() (r *record, content []byte, err error)
	// lazy changes need not be flushed: losing one to a power cut is harmless.
	lazy bool

	record *record
	at     int64 // of the content, in the journal
	err    error
	done   chan struct{}
}

// do has the committer make a change and waits until it is durable.
func (s *Store) do(key string, decide func() (*record, []byte, error)) (*record, error) {
	o := &op{key: key, decide: decide, done: make(chan struct{})}
	if !s.send(o) {
		return nil, fmt.Errorf("%w: it is closed", ErrUnavailable)
	}
	<-o.done
	return o.record, o.err
}

func (s *Store) send(o *op) bool {
	s.closing.RLock()
	defer s.closing.RUnlock()
	if s.closed {
		return false
	}
	s.ops <- o
	return true
}

// commitLoop is the only writer: it takes the changes that wait, appends them to
// the journal in one write, makes them visible and answers. Whoever comes while
// the disk is busy shares the next append.
func (s *Store) commitLoop() {
	defer close(s.done)
	defer close(s.events)
	var held *op
	for {
		first := held
		held = nil
		if first == nil {
			var ok bool
			if first, ok = <-s.ops; !ok {
				return
			}
		}
		batch := []*op{first}
		keys := map[string]bool{first.key: true}
	fill:
		for first.key != "" && len(batch) < maxBatch {
			select {
			case next, ok := <-s.ops:
				if !ok {
					break fill // the next round sees the closed channel again
				}
				if next.key == "" || keys[next.key] {
					held = next
					break fill
				}
				keys[next.key] = true
				batch = append(batch, next)
			default:
				break fill
			}
		}
		s.commit(batch)
		if s.wasteful() {
			if err := s.compact(); err != nil {
				s.opts.Log.Error("storage: compact the journal", "err", err)
			}
		}
	}
}

func (s *Store) commit(batch []*op) {
	s.buf = s.buf[:0]
	lazy := true
	for _, o := range batch {
		if s.broken != nil {
			o.err = fmt.Errorf("%w: %w", ErrUnavailable, s.broken)
			continue
		}
		var content []byte
		if o.record, content, o.err = o.decide(); o.err != nil || o.record == nil {
			continue
		}
		var at int
		s.buf, at, o.err = appendFrame(s.buf, o.record, content)
		lazy = lazy && o.lazy
		o.at = s.size + int64(at)
	}
	if err := s.append(s.buf, s.opts.Fsync && !lazy); err != nil {
		s.opts.Log.Error("storage: a change could not be written", "err", err)
		for _, o := range batch {
			if o.err == nil {
				o.err = fmt.Errorf("%w: %w", ErrUnavailable, err)
			}
		}
	}
	var events []Event
	var stale []string
	s.mu.Lock()
	for _, o := range batch {
		if o.err != nil || o.record == nil {
			continue
		}
		if old := s.replaced(o.record); old != nil {
			s.live -= footprint(old)
			if old.Blob != "" && (o.record.Object == nil || o.record.Object.Blob != old.Blob) {
				stale = append(stale, old.Blob)
			}
		}
		if n := o.record.Object; n != nil {
			n.offset = o.at
			s.live += footprint(n)
		}
		s.apply(o.record)
		for _, e := range o.record.Events {
			events = append(events, s.undelivered[e.ID])
		}
	}
	s.mu.Unlock()
	if !lazy && s.opts.Committed != nil {
		s.opts.Committed()
	}
	s.announce(events)
	for _, o := range batch {
		close(o.done)
	}
	for _, blob := range stale {
		os.Remove(blobPath(s.blobDir(), blob))
	}
}

// append writes p at the journal's end. After a failed write the journal is cut
// back to what it was; when even that fails, or an fsync did (the kernel may
// have dropped the pages), nothing more is accepted until a restart.
func (s *Store) append(p []byte, fsync bool) error {
	if len(p) == 0 {
		return nil
	}
	if _, err := s.journal.WriteAt(p, s.size); err != nil {
		if terr := s.journal.Truncate(s.size); terr != nil {
			s.broken = terr
		}
		return err
	}
	if fsync {
		if err := s.journal.Sync(); err != nil {
			s.broken = err
			return err
		}
	}
	s.size += int64(len(p))
	return nil
}

// replaced is the live object that r overwrites or deletes, if any.
func (s *Store) replaced(r *record) *Object {
	o := r.Object
	if o == nil {
		o = r.Drop
	}
	if o == nil {
		return nil
	}
	old, _ := s.buckets[o.Bucket].objects.Get(o.Name)
	return old
}

// announce hands the events to whoever delivers them, without waiting: what is
// not taken at once joins what comes next.
func (s *Store) announce(events []Event) {
	if len(events) == 0 {
		return
	}
	select {
	case waiting := <-s.events:
		events = append(waiting, events...)
	default:
	}
	s.events <- events
}

// Events yields the changes to publish, first those that an earlier process left
// undelivered. It is closed by Close.
func (s *Store) Events() <-chan []Event { return s.events }

// Delivered records that events were published and need not be again. It does
// not wait for the disk: a crash now means a second delivery, never a lost one.
func (s *Store) Delivered(ids []int64) {
	// No object's key looks so, and no other delivery's: batches stay whole.
	key := fmt.Sprint("delivered ", ids)
	s.send(&op{key: key, lazy: true, done: make(chan struct{}), decide: func() (*record, []byte, error) {
		return &record{Delivered: ids}, nil, nil
	}})
}
