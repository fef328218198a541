// Package journal is a write-ahead log in segments: frames are appended in one
// order, many callers share one write, and a snapshot replaces what came before
// it. What Commit answered survives the death of the process; with Fsync it
// survives the loss of power too.
package journal

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"sync"
)

// Options tune a journal.
type Options struct {
	// Fsync waits for the disk on every commit. Without it a commit waits for
	// the operating system, which outlives the process but not the machine.
	Fsync bool
}

// Position is a place in the journal: everything appended up to it.
type Position int64

// Journal is safe for concurrent use.
type Journal struct {
	dir   string
	fsync bool

	mu       sync.Mutex
	idle     sync.Cond // a write ended
	file     *os.File
	segment  uint64
	pending  []byte // appended, not yet written
	spare    []byte // the buffer of the last write, for reuse
	appended Position
	written  Position
	writing  bool
	size     int64 // bytes of the segments that a restart replays
	base     int64 // bytes of the snapshot before them
	err      error // sticky: after a failed write the tail is unknown
}

// ErrClosed is returned by Commit after Close.
var ErrClosed = errors.New("journal: closed")

// Open replays the journal in dir, oldest frame first, and returns it ready for
// more. A torn last frame, left by a death in the middle of a write, was never
// committed: it is cut off, and dropped says how many bytes that was. Damage
// anywhere else is an error.
func Open(dir string, o Options, replay func(frame []byte) error) (j *Journal, dropped int64, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, 0, fmt.Errorf("journal: %w", err)
	}
	files, err := list(dir)
	if err != nil {
		return nil, 0, err
	}
	j = &Journal{dir: dir, fsync: o.Fsync, segment: max(files.snapshot, 1)}
	j.idle.L = &j.mu
	if files.snapshot > 0 {
		if j.base, err = readFile(snapshotPath(dir, files.snapshot), replay); err != nil {
			return nil, 0, err
		}
	}
	for i, n := range files.segments {
		path, last := segmentPath(dir, n), i == len(files.segments)-1
		good, err := readFile(path, replay)
		if torn := (*tornError)(nil); errors.As(err, &torn) && last {
			dropped = torn.size - good
			err = os.Truncate(path, good)
		}
		if err != nil {
			return nil, 0, err
		}
		j.segment = n
		j.size += good
	}
	for _, path := range files.stale {
		if err := os.Remove(path); err != nil {
			return nil, 0, fmt.Errorf("journal: remove what a snapshot replaced: %w", err)
		}
	}
	j.file, err = j.openSegment(j.segment)
	return j, dropped, err
}

// Append queues one frame. The order of calls is the order of replay, so the
// caller appends under the lock that guards what the frame describes. The frame
// is durable once Commit of the returned position (or a later one) succeeds.
func (j *Journal) Append(frame []byte) Position {
	j.mu.Lock()
	defer j.mu.Unlock()
	before := len(j.pending)
	j.pending = appendFrame(j.pending, frame)
	j.appended += Position(len(j.pending) - before)
	return j.appended
}

// Commit returns once everything up to p is durable. Concurrent callers share a
// write: the first one writes for all who are waiting. An error is final: the
// journal accepts nothing more until it is opened again.
func (j *Journal) Commit(p Position) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	for j.written < p && j.err == nil {
		if j.writing {
			j.idle.Wait()
			continue
		}
		j.flushLocked()
	}
	if j.written >= p {
		return nil
	}
	return j.err
}

// flushLocked writes what is pending, giving up the lock meanwhile.
func (j *Journal) flushLocked() {
	buf, upTo, file := j.pending, j.appended, j.file
	j.pending, j.spare, j.writing = j.spare[:0], nil, true
	j.mu.Unlock()
	_, err := file.Write(buf)
	if err == nil && j.fsync {
		err = file.Sync()
	}
	j.mu.Lock()
	j.writing = false
	if cap(buf) <= 1<<20 { // a rare big message must not pin its buffer
		j.spare = buf[:0]
	}
	if err != nil {
		j.err = fmt.Errorf("journal: write %s: %w (free the disk, then start again)", file.Name(), err)
	} else {
		j.written = upTo
		j.size += int64(len(buf))
	}
	j.idle.Broadcast()
}

// Overgrown says that the segments since the last snapshot hold more than limit
// and more than the snapshot itself: writing all that is still wanted anew then
// costs no more than what was appended did.
func (j *Journal) Overgrown(limit int64) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.size > max(limit, j.base)
}

// Rotate ends the current segment. The caller holds the lock under which it
// appends, so what it captures then is exactly what the ended segments say;
// it hands that to Snapshot, without the lock, with the returned number.
func (j *Journal) Rotate() (uint64, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for j.writing {
		j.idle.Wait()
	}
	if len(j.pending) > 0 && j.err == nil {
		// The caller's lock keeps new frames out, so one flush empties it.
		j.flushLocked()
	}
	if j.err != nil {
		return 0, j.err
	}
	file, err := j.openSegment(j.segment + 1)
	if err != nil {
		return 0, err
	}
	ended := j.file
	j.file, j.segment = file, j.segment+1
	j.size = 0
	if err := ended.Close(); err != nil {
		j.err = fmt.Errorf("journal: close %s: %w", ended.Name(), err)
		return 0, j.err
	}
	return j.segment, nil
}

// Snapshot writes frames as the state before segment n and removes the segments
// that it replaces. An error in frames ends it. After an error the old segments still stand and nothing is
// lost.
func (j *Journal) Snapshot(n uint64, frames iter.Seq2[[]byte, error]) error {
	base, err := writeSnapshot(j.dir, n, frames)
	if err != nil {
		return err
	}
	j.mu.Lock()
	j.base = base
	j.mu.Unlock()
	files, err := list(j.dir)
	if err != nil {
		return err
	}
	for _, path := range files.stale {
		if err := os.Remove(path); err != nil {
			return fmt.Errorf("journal: remove what a snapshot replaced: %w", err)
		}
	}
	return nil
}

// Close writes what is pending. The journal cannot be used afterwards.
func (j *Journal) Close() error {
	j.mu.Lock()
	p := j.appended
	j.mu.Unlock()
	err := j.Commit(p)
	j.mu.Lock()
	defer j.mu.Unlock()
	for j.writing {
		j.idle.Wait()
	}
	if errors.Is(j.err, ErrClosed) {
		return nil
	}
	if j.err == nil {
		j.err = ErrClosed
	}
	return errors.Join(err, j.file.Close())
}

func (j *Journal) openSegment(n uint64) (*os.File, error) {
	f, err := os.OpenFile(segmentPath(j.dir, n), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	if j.fsync { // the loss of power must not take the file's name with it
		if err := syncDir(j.dir); err != nil {
			return nil, errors.Join(err, f.Close())
		}
	}
	return f, nil
}

func syncDir(dir string) error {
	d, err := os.Open(filepath.Clean(dir))
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("journal: sync %s: %w", dir, err)
	}
	return nil
}
