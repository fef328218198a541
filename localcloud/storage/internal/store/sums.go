package store

import (
	"crypto/md5"
	"hash"
	"hash/crc32"
	"slices"
)

// Sums computes the two checksums that Cloud Storage keeps.
type Sums struct {
	md5    hash.Hash
	crc32c hash.Hash32
	known  *Object // copied content: the sums are known
}

// NewSums returns the sums of nothing yet.
func NewSums() Sums { return Sums{md5: md5.New(), crc32c: crc32.New(castagnoli)} }

// Write implements io.Writer; it does not fail.
func (s Sums) Write(p []byte) (int, error) {
	s.md5.Write(p)
	s.crc32c.Write(p)
	return len(p), nil
}

// CRC32C is the CRC-32C (Castagnoli) of what was written.
func (s Sums) CRC32C() uint32 {
	if s.known != nil {
		return s.known.CRC32C
	}
	return s.crc32c.Sum32()
}

// MD5 is the MD5 of what was written; nil for the copy of a composed object.
func (s Sums) MD5() []byte {
	if s.known != nil {
		return slices.Clone(s.known.MD5)
	}
	return s.md5.Sum(nil)
}
