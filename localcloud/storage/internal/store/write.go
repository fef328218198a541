package store

import (
	"fmt"
	"os"
	"slices"
	"time"
)

// bucket returns a bucket's state; the caller holds mu or is the committer.
func (s *Store) bucket(name string) (*bucketState, error) {
	if b := s.buckets[name]; b != nil {
		return b, nil
	}
	return nil, fmt.Errorf("%s: %w", name, ErrNoBucket)
}

func objectKey(bucket, name string) string { return bucket + "/" + name }

// Put makes content the new generation of meta's object, if the conditions hold
// for the live one. It returns when the object and its events are durable.
// upload, unless empty, is the session to remember as having made the object.
// Put takes the content over, also when it fails.
func (s *Store) Put(meta *Object, content *Content, conditions Conditions, upload string) (*Object, error) {
	defer content.Discard()
	o := meta.Clone()
	o.Size, o.CRC32C = content.size, content.CRC32C()
	if o.Components == 0 {
		o.MD5 = content.MD5()
	}
	small, blob := content.small, content.blob
	if err := content.close(s.opts.Fsync); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	o.Blob = blob
	r, err := s.do(objectKey(o.Bucket, o.Name), func() (*record, []byte, error) {
		b, err := s.bucket(o.Bucket)
		if err != nil {
			return nil, nil, err
		}
		old, _ := b.objects.Get(o.Name)
		if err := conditions.Check(old); err != nil {
			return nil, nil, err
		}
		if old != nil && conditions.Replace != nil {
			if err := conditions.Replace(); err != nil {
				return nil, nil, err
			}
		}
		o.Created = s.opts.Now().UTC().Truncate(time.Microsecond)
		o.Updated = o.Created
		s.lastGeneration = max(s.lastGeneration+1, o.Created.UnixMicro())
		o.Generation, o.Metageneration = s.lastGeneration, 1
		r := &record{Object: o, Upload: upload}
		finalize := Event{Type: Finalize}
		if old != nil {
			finalize.Overwrote = old.Generation
			r.Events = s.occur(r.Events, b, o.Name, Event{Type: Delete, Object: old, OverwrittenBy: o.Generation})
		}
		r.Events = s.occur(r.Events, b, o.Name, finalize)
		return r, small, nil
	})
	if err != nil {
		if blob != "" {
			os.Remove(blobPath(s.blobDir(), blob))
		}
		return nil, err
	}
	return r.Object, nil
}

// occur adds one event for each notification that wants e.
func (s *Store) occur(events []Event, b *bucketState, name string, e Event) []Event {
	for _, n := range b.notifications {
		if n.wants(e.Type, name) {
			s.lastEvent++
			e.ID, e.Notification, e.At = s.lastEvent, n, s.opts.Now()
			events = append(events, e)
		}
	}
	return events
}

// Patch changes an object's attributes, not its content, if the conditions hold.
// generation 0 stands for the live one. change works on a copy.
func (s *Store) Patch(bucket, name string, generation int64, conditions Conditions, change func(*Object) error) (*Object, error) {
	r, err := s.do(objectKey(bucket, name), func() (*record, []byte, error) {
		b, old, err := s.find(bucket, name, generation)
		if err != nil {
			return nil, nil, err
		}
		if err := conditions.Check(old); err != nil {
			return nil, nil, err
		}
		o := old.Clone()
		if err := change(o); err != nil {
			return nil, nil, err
		}
		o.Metageneration++
		o.Updated = s.opts.Now().UTC().Truncate(time.Microsecond)
		var content []byte
		if o.Blob == "" { // a record is followed by its content
			content = make([]byte, o.Size)
			if _, err := s.journal.ReadAt(content, old.offset); err != nil {
				return nil, nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
			}
		}
		return &record{Object: o, Events: s.occur(nil, b, name, Event{Type: MetadataUpdate})}, content, nil
	})
	if err != nil {
		return nil, err
	}
	return r.Object, nil
}

// Delete removes an object, if the conditions hold.
func (s *Store) Delete(bucket, name string, generation int64, conditions Conditions) error {
	_, err := s.do(objectKey(bucket, name), func() (*record, []byte, error) {
		b, old, err := s.find(bucket, name, generation)
		if err != nil {
			return nil, nil, err
		}
		if err := conditions.Check(old); err != nil {
			return nil, nil, err
		}
		gone := &Object{Bucket: bucket, Name: name}
		return &record{Drop: gone, Events: s.occur(nil, b, name, Event{Type: Delete, Object: old})}, nil, nil
	})
	return err
}

// find finds the live object, which must be of that generation unless it is 0.
func (s *Store) find(bucket, name string, generation int64) (*bucketState, *Object, error) {
	b, err := s.bucket(bucket)
	if err != nil {
		return nil, nil, err
	}
	o, _ := b.objects.Get(name)
	if o == nil || generation != 0 && generation != o.Generation {
		return b, nil, fmt.Errorf("%s/%s: %w", bucket, name, ErrNoObject)
	}
	return b, o, nil
}

// CreateBucket makes an empty bucket.
func (s *Store) CreateBucket(meta *Bucket) (*Bucket, error) {
	r, err := s.do("", func() (*record, []byte, error) {
		if s.buckets[meta.Name] != nil {
			return nil, nil, fmt.Errorf("%s: %w", meta.Name, ErrBucketExists)
		}
		b := *meta
		b.Metageneration, b.Created = 1, s.opts.Now().UTC().Truncate(time.Microsecond)
		b.Updated = b.Created
		return &record{Bucket: &b}, nil, nil
	})
	if err != nil {
		return nil, err
	}
	return r.Bucket, nil
}

// PatchBucket changes a bucket's record; change works on a copy.
func (s *Store) PatchBucket(name string, conditions Conditions, change func(*Bucket) error) (*Bucket, error) {
	r, err := s.do("", func() (*record, []byte, error) {
		st, err := s.bucket(name)
		if err != nil {
			return nil, nil, err
		}
		if err := conditions.CheckMetageneration(st.meta.Metageneration); err != nil {
			return nil, nil, err
		}
		b := *st.meta
		if err := change(&b); err != nil {
			return nil, nil, err
		}
		b.Metageneration++
		b.Updated = s.opts.Now().UTC().Truncate(time.Microsecond)
		return &record{Bucket: &b}, nil, nil
	})
	if err != nil {
		return nil, err
	}
	return r.Bucket, nil
}

// DeleteBucket removes an empty bucket.
func (s *Store) DeleteBucket(name string, conditions Conditions) error {
	_, err := s.do("", func() (*record, []byte, error) {
		b, err := s.bucket(name)
		if err != nil {
			return nil, nil, err
		}
		if err := conditions.CheckMetageneration(b.meta.Metageneration); err != nil {
			return nil, nil, err
		}
		if b.objects.Len() > 0 {
			return nil, nil, fmt.Errorf("%s: %w", name, ErrBucketNotEmpty)
		}
		return &record{DropBucket: name}, nil, nil
	})
	return err
}

// AddNotification gives n an id and puts it in force. With reuse, one that says
// the same already is returned instead.
func (s *Store) AddNotification(n Notification, reuse bool) (*Notification, error) {
	var found *Notification
	r, err := s.do("", func() (*record, []byte, error) {
		b, err := s.bucket(n.Bucket)
		if err != nil {
			return nil, nil, err
		}
		if i := slices.IndexFunc(b.notifications, n.same); reuse && i >= 0 {
			found = b.notifications[i]
			return nil, nil, nil
		}
		s.lastNotificationID++
		n.ID = fmt.Sprint(s.lastNotificationID)
		return &record{Notification: &n, LastNotificationID: s.lastNotificationID}, nil, nil
	})
	switch {
	case err != nil:
		return nil, err
	case found != nil:
		return found, nil
	}
	return r.Notification, nil
}

// DeleteNotification ends a notification; events that occurred stay.
func (s *Store) DeleteNotification(bucket, id string) error {
	_, err := s.do("", func() (*record, []byte, error) {
		b, err := s.bucket(bucket)
		if err != nil {
			return nil, nil, err
		}
		if !slices.ContainsFunc(b.notifications, func(n *Notification) bool { return n.ID == id }) {
			return nil, nil, fmt.Errorf("%s/%s: %w", bucket, id, ErrNoNotification)
		}
		return &record{DropNotification: &Notification{ID: id, Bucket: bucket}}, nil, nil
	})
	return err
}
