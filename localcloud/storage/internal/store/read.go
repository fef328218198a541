package store

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
)

// Stat returns the live object; generation 0 stands for any.
func (s *Store) Stat(bucket, name string, generation int64) (*Object, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	_, o, err := s.find(bucket, name, generation)
	return o, err
}

// Reader reads one generation of an object, also after it was overwritten.
type Reader interface {
	io.ReadSeekCloser
	io.ReaderAt
}

type inlineReader struct{ *bytes.Reader }

func (inlineReader) Close() error { return nil }

// Open opens the live object for reading, if the conditions hold.
func (s *Store) Open(bucket, name string, generation int64, conditions Conditions) (*Object, Reader, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	_, o, err := s.find(bucket, name, generation)
	if err != nil {
		return nil, nil, err
	}
	if err := conditions.Check(o); err != nil {
		return o, nil, err
	}
	if o.Blob == "" {
		p := make([]byte, o.Size)
		if _, err := s.journal.ReadAt(p, o.offset); err != nil {
			return o, nil, fmt.Errorf("%w: read %s/%s: %w", ErrUnavailable, bucket, name, err)
		}
		return o, inlineReader{bytes.NewReader(p)}, nil
	}
	f, err := os.Open(blobPath(s.blobDir(), o.Blob))
	if err != nil {
		return o, nil, fmt.Errorf("%w: read %s/%s: %w", ErrUnavailable, bucket, name, err)
	}
	return o, f, nil
}

// Bucket returns a bucket's record.
func (s *Store) Bucket(name string) (*Bucket, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	b, err := s.bucket(name)
	if err != nil {
		return nil, err
	}
	return b.meta, nil
}

// Buckets returns every bucket's record, by name.
func (s *Store) Buckets() []*Bucket {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var out []*Bucket
	for _, name := range slices.Sorted(maps.Keys(s.buckets)) {
		out = append(out, s.buckets[name].meta)
	}
	return out
}

// Notifications returns what a bucket publishes.
func (s *Store) Notifications(bucket string) ([]*Notification, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	b, err := s.bucket(bucket)
	if err != nil {
		return nil, err
	}
	return b.notifications, nil
}

// Upload returns what an ended upload session made, or nil.
func (s *Store) Upload(id string) *Object {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.uploads[id]
}

// Query selects objects by name.
type Query struct {
	Prefix, Delimiter string
	// Start and End bound the names: Start <= name < End. Empty: no bound.
	Start, End string
	// TrailingDelimiter lists an object whose name ends in its only delimiter
	// besides the prefix that it makes.
	TrailingDelimiter bool
	// Match, unless nil, drops names before they count.
	Match func(name string) bool
	// Limit bounds objects and prefixes together.
	Limit int
	// After resumes a listing: the Next of the page before.
	After string
}

// Page is a part of a listing, in name order.
type Page struct {
	Objects  []*Object
	Prefixes []string
	// Next is where the next page starts; empty after the last.
	Next string
}

// List returns one page. Names compare as bytes of UTF-8.
func (s *Store) List(bucket string, q Query) (Page, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	b, err := s.bucket(bucket)
	if err != nil {
		return Page{}, err
	}
	var p Page
	from := max(q.Prefix, q.Start, q.After)
	for from != "\xff" { // each round lists objects until a common prefix can be skipped
		skipTo := "\xff"
		b.objects.Ascend(from, func(name string, o *Object) bool {
			if !strings.HasPrefix(name, q.Prefix) || q.End != "" && name >= q.End {
				return false
			}
			if q.Match != nil && !q.Match(name) {
				return true
			}
			if len(p.Objects)+len(p.Prefixes) >= q.Limit {
				p.Next = name
				return false
			}
			if i := strings.Index(name[len(q.Prefix):], q.Delimiter); q.Delimiter != "" && i >= 0 {
				common := name[:len(q.Prefix)+i+len(q.Delimiter)]
				p.Prefixes = append(p.Prefixes, common)
				if q.TrailingDelimiter && name == common {
					p.Objects = append(p.Objects, o)
				}
				skipTo = common + "\xff" // no UTF-8 text holds this byte
				return false
			}
			p.Objects = append(p.Objects, o)
			return true
		})
		from = skipTo
	}
	return p, nil
}
