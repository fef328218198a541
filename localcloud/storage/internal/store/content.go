package store

import (
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// inlineLimit is the largest content, in bytes, that lives in the journal; more
// goes to a file of its own. An append is cheaper than creating, closing and
// later deleting a file, but compaction copies what is inline.
const inlineLimit = 32 << 10

// Content receives an object's bytes before they are committed. It computes
// both checksums as the bytes pass and holds at most inlineLimit in memory.
// Either Put takes it over or Discard must be called.
type Content struct {
	dir   string
	small []byte
	blob  string
	file  *os.File
	size  int64
	sums  Sums
}

// NewContent starts an empty content.
func (s *Store) NewContent() *Content {
	return &Content{dir: s.blobDir(), sums: NewSums()}
}

// Write implements io.Writer.
func (c *Content) Write(p []byte) (int, error) {
	if c.file == nil && c.size+int64(len(p)) > inlineLimit {
		if err := c.spill(); err != nil {
			return 0, err
		}
	}
	if c.file != nil {
		if n, err := c.file.Write(p); err != nil {
			return n, fmt.Errorf("%w: write content: %w", ErrUnavailable, err)
		}
	} else {
		c.small = append(c.small, p...)
	}
	c.size += int64(len(p))
	c.sums.Write(p)
	return len(p), nil
}

// ReadFrom implements io.ReaderFrom: a small content costs a buffer of its own
// size, not io.Copy's 32 KiB.
func (c *Content) ReadFrom(r io.Reader) (int64, error) {
	var total int64
	buf := make([]byte, 2<<10)
	for {
		n, err := r.Read(buf)
		if _, werr := c.Write(buf[:n]); werr != nil {
			return total, werr
		}
		total += int64(n)
		if err == io.EOF {
			return total, nil
		} else if err != nil {
			return total, err
		}
		if n == len(buf) && n < 256<<10 {
			buf = make([]byte, 4*n)
		}
	}
}

func (c *Content) spill() error {
	blob, err := newBlob(c.dir, func(path string) (err error) {
		c.file, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
		return err
	})
	if err != nil {
		c.file = nil
		return err
	}
	c.blob = blob
	if _, err = c.file.Write(c.small); err != nil {
		return fmt.Errorf("%w: write content: %w", ErrUnavailable, err)
	}
	c.small = nil
	return nil
}

// Size is the number of bytes received.
func (c *Content) Size() int64 { return c.size }

// CRC32C is the checksum of the bytes received.
func (c *Content) CRC32C() uint32 { return c.sums.CRC32C() }

// MD5 is the checksum of the bytes received.
func (c *Content) MD5() []byte { return c.sums.MD5() }

// Discard removes what was received. It does nothing after Put took it over.
func (c *Content) Discard() {
	if c.file != nil {
		c.file.Close()
		os.Remove(blobPath(c.dir, c.blob))
		c.file = nil
	}
	c.small = nil
}

// close ends the writing; with fsync the file and its name are on the disk.
func (c *Content) close(fsync bool) error {
	if c.file == nil {
		return nil
	}
	if fsync {
		if err := c.file.Sync(); err != nil {
			return err
		}
	}
	if err := c.file.Close(); err != nil {
		return err
	}
	c.file = nil
	if fsync {
		return syncDir(filepath.Dir(blobPath(c.dir, c.blob)))
	}
	return nil
}

// A blob's name is random: nothing a client sends ever becomes part of a path.
// rand.Text draws from shards, whose letters name the directories.
const shards = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"

func blobPath(dir, blob string) string { return filepath.Join(dir, blob[:1], blob) }

// makeShards makes the blobs' directories, once and for all: with fsync, a blob's
// own directory is then the only one left to flush.
func makeShards(dir string, fsync bool) error {
	for i := range len(shards) {
		if err := os.MkdirAll(filepath.Join(dir, shards[i:i+1]), 0o700); err != nil {
			return err
		}
	}
	if fsync {
		return syncDir(dir)
	}
	return nil
}

// newBlob calls create with a fresh path.
func newBlob(dir string, create func(path string) error) (blob string, err error) {
	blob = rand.Text()
	if err := create(blobPath(dir, blob)); err != nil {
		return "", fmt.Errorf("%w: create a file for the content: %w", ErrUnavailable, err)
	}
	return blob, nil
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
