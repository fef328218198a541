package store

import (
	"bufio"
	"maps"
	"os"
	"slices"
)

// compactAbove is how many bytes of a journal may be out of date before it is
// worth rewriting, however small the rest is.
const compactAbove = 16 << 20

// recordBytes is what an object's record takes in the journal, about.
const recordBytes = 500

// footprint is what a live object takes in the journal, about.
func footprint(o *Object) int64 {
	if o.Blob != "" {
		return recordBytes
	}
	return recordBytes + o.Size
}

func (s *Store) liveBytes() (n int64) {
	for _, b := range s.buckets {
		b.objects.Scan(func(_ string, o *Object) bool {
			n += footprint(o)
			return true
		})
	}
	return n
}

// wasteful says whether more than half of the journal is out of date.
func (s *Store) wasteful() bool { return s.broken == nil && s.size > 2*s.live+compactAbove }

// compact writes what is live to a new journal and drops the old. Changes wait
// meanwhile: copying runs at the disk's speed and happens only after as much
// again was written as is copied. The new journal counts once it has its final
// name, whole and flushed; a crash before that leaves the old one in force.
func (s *Store) compact() error {
	final := s.journalPath(s.number + 1)
	f, err := os.OpenFile(final+".tmp", os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	w := &snapshot{out: bufio.NewWriterSize(f, 1<<20)}
	if err = s.writeSnapshot(w); err == nil {
		err = w.out.Flush()
	}
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = os.Rename(final+".tmp", final)
	}
	if err != nil {
		f.Close()
		os.Remove(final + ".tmp")
		// Try again only after as much again was written.
		s.live = s.size
		return err
	}
	if s.opts.Fsync {
		if err := syncDir(s.dir); err != nil {
			s.broken = err
		}
	}
	s.mu.Lock()
	old := s.journal
	s.journal, s.size, s.live = f, w.size, s.liveBytes()
	s.number++
	for _, m := range w.moved {
		s.buckets[m.Bucket].objects.Set(m.Name, m)
	}
	s.mu.Unlock()
	old.Close()
	os.Remove(old.Name())
	return nil
}

// snapshot writes records one after the other, and remembers where contents went.
type snapshot struct {
	out   *bufio.Writer
	size  int64
	buf   []byte
	moved []*Object
}

func (w *snapshot) add(r *record, content []byte) (contentAt int64, err error) {
	var at int
	if w.buf, at, err = appendFrame(w.buf[:0], r, content); err != nil {
		return 0, err
	}
	contentAt = w.size + int64(at)
	w.size += int64(len(w.buf))
	_, err = w.out.Write(w.buf)
	return contentAt, err
}

func (s *Store) writeSnapshot(w *snapshot) error {
	head := &record{LastGeneration: s.lastGeneration, LastEvent: s.lastEvent, LastNotificationID: s.lastNotificationID}
	if _, err := w.add(head, nil); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(s.buckets)) {
		b := s.buckets[name]
		if _, err := w.add(&record{Bucket: b.meta}, nil); err != nil {
			return err
		}
		for _, n := range b.notifications {
			if _, err := w.add(&record{Notification: n}, nil); err != nil {
				return err
			}
		}
		var err error
		b.objects.Scan(func(_ string, o *Object) bool {
			err = s.snapshotObject(w, o)
			return err == nil
		})
		if err != nil {
			return err
		}
	}
	for _, id := range s.uploadOrder {
		if _, err := w.add(&record{Upload: id, UploadObject: s.uploads[id]}, nil); err != nil {
			return err
		}
	}
	_, err := w.add(&record{Events: s.undeliveredInOrder()}, nil)
	return err
}

func (s *Store) snapshotObject(w *snapshot, o *Object) error {
	var content []byte
	if o.Blob == "" {
		content = make([]byte, o.Size)
		if _, err := s.journal.ReadAt(content, o.offset); err != nil {
			return err
		}
	}
	at, err := w.add(&record{Object: o}, content)
	if o.Blob == "" {
		c := *o
		c.offset = at
		w.moved = append(w.moved, &c)
	}
	return err
}
