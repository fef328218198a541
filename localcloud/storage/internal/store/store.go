// Package store keeps buckets and objects on a disk: an append-only journal with
// every change (small contents included), files for large contents, and all
// names and attributes in memory, in order. What a call returned without an
// error survives kill -9; with Fsync it survives a power cut too.
package store

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Options configure a Store.
type Options struct {
	// Dir is the store's own directory; it is created. One process at a time.
	Dir string
	// Fsync flushes every acknowledged change to the disk, so that it survives
	// a power cut and not only the death of the process.
	Fsync bool
	// Now is the clock.
	Now func() time.Time
	// Log receives what an operator should know.
	Log *slog.Logger
	// Committed, if set, is called after changes are durable and before their
	// callers are told; a fault injector kills the process here.
	Committed func()
}

// Store is an open store. It is safe for concurrent use.
type Store struct {
	dir  string
	opts Options
	lock *os.File

	ops    chan *op
	events chan []Event
	done   chan struct{} // closed when the committer has ended

	closing sync.RWMutex // held for reading while an op is being handed over
	closed  bool

	// Written by the committer alone, under mu; read under mu's read lock.
	mu      sync.RWMutex
	buckets map[string]*bucketState
	journal *os.File
	uploads map[string]*Object // sessions that ended in an object

	// The committer's own.
	number             int // of the journal file
	size, live         int64
	buf                []byte
	broken             error
	lastGeneration     int64
	lastEvent          int64
	lastNotificationID int64
	undelivered        map[int64]Event
	uploadOrder        []string
}

// Open opens the store in o.Dir and brings back what it held.
func Open(o Options) (_ *Store, err error) {
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, err
	}
	lock, err := lockDir(o.Dir)
	if err != nil {
		return nil, err
	}
	s := &Store{
		dir: o.Dir, opts: o, lock: lock,
		ops: make(chan *op, maxBatch), events: make(chan []Event, 1), done: make(chan struct{}),
		buckets: map[string]*bucketState{}, uploads: map[string]*Object{}, undelivered: map[int64]Event{},
	}
	if err := s.load(); err != nil {
		lock.Close()
		return nil, fmt.Errorf("open the store %s: %w", o.Dir, err)
	}
	go s.commitLoop()
	return s, nil
}

// Close waits for the changes under way and closes the files.
func (s *Store) Close() error {
	s.closing.Lock()
	if s.closed {
		s.closing.Unlock()
		return nil
	}
	s.closed = true
	close(s.ops)
	s.closing.Unlock()
	<-s.done
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.journal.Close()
	unlockDir(s.lock)
	return err
}

func (s *Store) blobDir() string { return filepath.Join(s.dir, "blobs") }

func (s *Store) journalPath(number int) string {
	return filepath.Join(s.dir, fmt.Sprintf("journal.%08d", number))
}
