package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// load reads the newest journal. Older ones and *.tmp are what a crash during
// compaction left; blobs that no object names are uploads that never ended.
func (s *Store) load() error {
	if err := makeShards(s.blobDir(), s.opts.Fsync); err != nil {
		return err
	}
	names, err := filepath.Glob(filepath.Join(s.dir, "journal.*"))
	if err != nil {
		return err
	}
	for _, name := range names {
		var n int
		if _, err := fmt.Sscanf(filepath.Base(name), "journal.%08d", &n); err == nil && filepath.Ext(name) != ".tmp" {
			s.number = max(s.number, n)
		}
	}
	for _, name := range names {
		if name != s.journalPath(s.number) {
			os.Remove(name)
		}
	}
	s.journal, err = os.OpenFile(s.journalPath(s.number), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	s.size, err = replay(s.journal, func(r *record, contentAt int64) {
		if r.Object != nil {
			r.Object.offset = contentAt
		}
		s.apply(r)
	})
	if errors.Is(err, errTorn) {
		s.opts.Log.Warn("storage: dropping a change that was never acknowledged", "journal", s.journal.Name(), "at", s.size)
		err = s.journal.Truncate(s.size)
	}
	if err != nil {
		s.journal.Close()
		return err
	}
	if s.opts.Fsync {
		if err := errors.Join(s.journal.Sync(), syncDir(s.dir)); err != nil {
			s.journal.Close()
			return err
		}
	}
	s.live = s.liveBytes()
	s.sweepBlobs()
	if len(s.undelivered) > 0 {
		s.events <- s.undeliveredInOrder()
	}
	return nil
}

func (s *Store) undeliveredInOrder() []Event {
	events := make([]Event, 0, len(s.undelivered))
	for _, e := range s.undelivered {
		events = append(events, e)
	}
	slices.SortFunc(events, func(a, b Event) int { return int(a.ID - b.ID) })
	return events
}

func (s *Store) sweepBlobs() {
	named := map[string]bool{}
	for _, b := range s.buckets {
		b.objects.Scan(func(_ string, o *Object) bool {
			if o.Blob != "" {
				named[o.Blob] = true
			}
			return true
		})
	}
	files, _ := filepath.Glob(filepath.Join(s.blobDir(), "*", "*"))
	for _, f := range files {
		if !named[filepath.Base(f)] {
			os.Remove(f)
		}
	}
}

// apply makes the change r in memory. The caller holds mu, or is alone.
func (s *Store) apply(r *record) {
	s.lastGeneration = max(s.lastGeneration, r.LastGeneration)
	s.lastEvent = max(s.lastEvent, r.LastEvent)
	s.lastNotificationID = max(s.lastNotificationID, r.LastNotificationID)
	if b := r.Bucket; b != nil {
		if st := s.buckets[b.Name]; st != nil {
			st.meta = b
		} else {
			s.buckets[b.Name] = &bucketState{meta: b}
		}
	}
	if r.DropBucket != "" {
		delete(s.buckets, r.DropBucket)
	}
	if o := r.Object; o != nil {
		s.lastGeneration = max(s.lastGeneration, o.Generation)
		b := s.buckets[o.Bucket]
		o.Bucket = b.meta.Name // one string for all, and no request's path kept alive
		b.objects.Set(o.Name, o)
	}
	if o := r.Drop; o != nil {
		s.buckets[o.Bucket].objects.Delete(o.Name)
	}
	if n := r.Notification; n != nil {
		b := s.buckets[n.Bucket]
		b.notifications = append(slices.Clone(b.notifications), n)
	}
	if n := r.DropNotification; n != nil {
		b := s.buckets[n.Bucket]
		b.notifications = slices.DeleteFunc(slices.Clone(b.notifications), func(m *Notification) bool { return m.ID == n.ID })
	}
	if r.Upload != "" {
		made := r.Object
		if made == nil {
			made = r.UploadObject
		}
		s.rememberUpload(r.Upload, made)
	}
	for _, e := range r.Events {
		if e.Object == nil {
			e.Object = r.Object
		}
		s.lastEvent = max(s.lastEvent, e.ID)
		s.undelivered[e.ID] = e
	}
	for _, id := range r.Delivered {
		delete(s.undelivered, id)
	}
}

// maxEndedUploads bounds how many ended sessions are remembered, so that a
// client whose last answer was lost learns on asking again what it made.
const maxEndedUploads = 1000

func (s *Store) rememberUpload(id string, o *Object) {
	s.uploads[id] = o
	s.uploadOrder = append(s.uploadOrder, id)
	if len(s.uploadOrder) > maxEndedUploads {
		delete(s.uploads, s.uploadOrder[0])
		s.uploadOrder = s.uploadOrder[1:]
	}
}
