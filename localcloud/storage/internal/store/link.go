package store

import (
	"io"
	"os"
)

// Copied returns the content of src, which r reads. A large one shares src's
// disk space: blobs never change, so a second name is as good as a copy.
func (s *Store) Copied(src *Object, r Reader) (*Content, error) {
	if src.Blob != "" {
		c, err := s.linked(blobPath(s.blobDir(), src.Blob), src.Size, Sums{known: src})
		if err == nil {
			return c, nil
		}
		// src went meanwhile, or this file system has no links: r still reads.
	}
	c := s.NewContent()
	if _, err := io.Copy(c, r); err != nil {
		c.Discard()
		return nil, err
	}
	return c, nil
}

// Adopt returns the content of the file at path, whose size and sums the caller
// knows. The file may be removed afterwards; it must not be changed.
func (s *Store) Adopt(path string, size int64, sums Sums) (*Content, error) {
	if size > inlineLimit {
		if c, err := s.linked(path, size, sums); err == nil {
			return c, nil
		}
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	c := s.NewContent()
	if _, err := io.Copy(c, io.LimitReader(f, size)); err != nil {
		c.Discard()
		return nil, err
	}
	return c, nil
}

func (s *Store) linked(path string, size int64, sums Sums) (*Content, error) {
	blob, err := newBlob(s.blobDir(), func(to string) error { return os.Link(path, to) })
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(blobPath(s.blobDir(), blob), os.O_RDWR, 0)
	if err != nil {
		os.Remove(blobPath(s.blobDir(), blob))
		return nil, err
	}
	return &Content{dir: s.blobDir(), blob: blob, file: f, size: size, sums: sums}, nil
}
