package predictionlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/errs"
	"golang.org/x/sys/unix"
)

// Store is where files go: a blob.Bucket, or a Directory.
type Store interface {
	Write(ctx context.Context, name string, r io.Reader, o blob.WriteOptions) (blob.Attrs, error)
}

// Directory is a Store on a local disk.
type Directory string

// Write stores an object as a file of that name below the directory.
func (d Directory) Write(_ context.Context, name string, r io.Reader, _ blob.WriteOptions) (blob.Attrs, error) {
	path := filepath.Join(string(d), filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return blob.Attrs{}, fmt.Errorf("%w: %w", errs.Unavailable, err)
	}
	p, err := io.ReadAll(r)
	if err == nil {
		err = writeAtomically(path, p)
	}
	if err != nil {
		return blob.Attrs{}, fmt.Errorf("%w: %w", errs.Unavailable, err)
	}
	return blob.Attrs{Name: name, Size: int64(len(p))}, nil
}

// writeAtomically never leaves half a file under path.
func writeAtomically(path string, p []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".tmp-*")
	if err != nil {
		return err
	}
	_, err = f.Write(p)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}

// item is a file on its way to the store.
type item struct {
	name        string
	contentType string
	rows        int
	size        int64
	data        []byte // nil when it lies on disk
	path        string
}

// outbox holds what the store has not taken yet: on disk where there is a
// spool, else in memory. It is used by one goroutine.
type outbox struct {
	dir   string // this process's own in the spool; "" keeps files in memory
	limit int64
	bytes int64
	items []item
	held  []*os.File // locks of dir, and of those of processes that are gone
}

// errFull means that the outbox holds its limit already.
var errFull = errors.New("the outbox is full")

// lockFile shows that a process uses a directory of the spool; the kernel drops
// the lock when the process ends, however it ends.
const lockFile = ".lock"

// openOutbox makes a directory for this instance in the spool and takes up what
// processes left that have ended.
func openOutbox(spool, instance string, limit int64) (*outbox, error) {
	o := &outbox{limit: limit}
	if spool == "" {
		return o, nil
	}
	o.dir = filepath.Join(spool, url.PathEscape(instance))
	if err := os.MkdirAll(o.dir, 0o755); err != nil {
		return nil, fmt.Errorf("make the spool: %w", err)
	}
	dirs, err := os.ReadDir(spool)
	if err != nil {
		return nil, fmt.Errorf("read the spool: %w", err)
	}
	for _, d := range dirs {
		if d.IsDir() {
			err = errors.Join(err, o.adopt(filepath.Join(spool, d.Name())))
		}
	}
	if err != nil {
		o.close()
		return nil, fmt.Errorf("read the spool: %w", err)
	}
	return o, nil
}

// adopt takes the files of a directory that no process uses.
func (o *outbox) adopt(dir string) error {
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil // in use
		}
		return err
	}
	o.held = append(o.held, f)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		name, unescape := url.PathUnescape(e.Name())
		info, err := e.Info()
		if err != nil || unescape != nil || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		o.items = append(o.items, item{name: name, size: info.Size(), path: filepath.Join(dir, e.Name())})
		o.bytes += info.Size()
	}
	return nil
}

// close gives the directories back, and removes those that are empty.
func (o *outbox) close() {
	for _, f := range o.held {
		dir := filepath.Dir(f.Name())
		if files, err := os.ReadDir(dir); err == nil && len(files) == 1 {
			os.Remove(f.Name())
			os.Remove(dir)
		}
		f.Close()
	}
	o.held = nil
}

// add keeps an item; errFull when there is no room.
func (o *outbox) add(it item) error {
	if o.bytes+it.size > o.limit {
		return errFull
	}
	o.items = append(o.items, it)
	o.bytes += it.size
	return nil
}

// park moves to disk what the store refused, so that it outlives the process
// and leaves memory.
func (o *outbox) park() error {
	if o.dir == "" {
		return nil
	}
	for i := range o.items {
		it := &o.items[i]
		if it.path != "" {
			continue
		}
		path := filepath.Join(o.dir, url.PathEscape(it.name))
		if err := writeAtomically(path, it.data); err != nil {
			return fmt.Errorf("prediction log: spool %s: %w", it.name, err)
		}
		it.path, it.data = path, nil
	}
	return nil
}

// deliver hands items to the store, oldest first, until one fails. Names are
// unique to a process, so a conflict means that an earlier try arrived after
// all.
func (o *outbox) deliver(ctx context.Context, s Store, delivered func(item)) error {
	for len(o.items) > 0 {
		it := o.items[0]
		data := it.data
		if it.path != "" {
			var err error
			if data, err = os.ReadFile(it.path); err != nil {
				return fmt.Errorf("prediction log: read the spool: %w", err)
			}
		}
		_, err := s.Write(ctx, it.name, bytes.NewReader(data), blob.WriteOptions{IfGeneration: blob.Absent, ContentType: it.contentType})
		if err != nil && !errors.Is(err, errs.Conflict) {
			return fmt.Errorf("prediction log: write %s: %w", it.name, err)
		}
		if it.path != "" {
			if err := os.Remove(it.path); err != nil {
				return fmt.Errorf("prediction log: clear the spool: %w", err)
			}
		}
		o.items = o.items[1:]
		o.bytes -= it.size
		delivered(it)
	}
	return nil
}
