package store

import (
	"crypto/md5"
	"crypto/rand"
	"fmt"
	"hash"
	"hash/crc32"
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
	dir    string
	small  []byte
	blob   string
	file   *os.File
	size   int64
	md5    hash.Hash
	crc32c hash.Hash32
}

// NewContent starts an empty content.
func (s *Store) NewContent() *Content {
	return &Content{dir: s.blobDir(), md5: md5.New(), crc32c: crc32.New(castagnoli)}
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
			return n, fmt.Errorf("write content: %w", err)
		}
	} else {
		c.small = append(c.small, p...)
	}
	c.size += int64(len(p))
	c.md5.Write(p)
	c.crc32c.Write(p)
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
	blob, file, err := createBlob(c.dir)
	if err != nil {
		return err
	}
	c.blob, c.file = blob, file
	_, err = file.Write(c.small)
	c.small = nil
	return err
}

// Size is the number of bytes received.
func (c *Content) Size() int64 { return c.size }

// CRC32C is the checksum of the bytes received.
func (c *Content) CRC32C() uint32 { return c.crc32c.Sum32() }

// MD5 is the checksum of the bytes received.
func (c *Content) MD5() []byte { return c.md5.Sum(nil) }

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
func blobPath(dir, blob string) string { return filepath.Join(dir, blob[:2], blob) }

func createBlob(dir string) (blob string, f *os.File, err error) {
	blob = rand.Text()
	path := blobPath(dir, blob)
	const flags = os.O_RDWR | os.O_CREATE | os.O_EXCL
	f, err = os.OpenFile(path, flags, 0o600)
	if os.IsNotExist(err) {
		if err = os.MkdirAll(filepath.Dir(path), 0o700); err == nil {
			f, err = os.OpenFile(path, flags, 0o600)
		}
	}
	if err != nil {
		return "", nil, fmt.Errorf("create a file for the content: %w", err)
	}
	return blob, f, nil
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
