// Package blob is the port to object storage: what the domain needs of a
// bucket, and nothing more. Adapters: blobgcs (Google Cloud Storage and what
// speaks its JSON API), blobmem (tests). blobtest is the suite both pass.
package blob

import (
	"context"
	"io"
	"iter"
	"time"
)

// Attrs describe one generation of an object.
type Attrs struct {
	Name        string
	Size        int64
	Generation  int64  // changes with every write of the content
	MD5         string // lower-case hex; empty for composed objects
	CRC32C      uint32 // Castagnoli; of every object
	ContentType string
	Metadata    map[string]string
	Updated     time.Time
}

// Any is the condition of an unconditional write or delete.
const Any int64 = -1

// Absent is the condition "create only": no live object of that name.
const Absent int64 = 0

// WriteOptions are the conditions and attributes of a write.
type WriteOptions struct {
	// IfGeneration is Any, Absent, or the generation that must be live.
	// A mismatch is errs.Conflict.
	IfGeneration int64
	ContentType  string
	Metadata     map[string]string
}

// Bucket is one bucket. Names are slash-separated UTF-8 of at most 1,024 bytes.
// Errors wrap errs.NotFound, errs.Conflict or errs.Unavailable where they apply;
// only Unavailable is worth repeating. Safe for concurrent use.
type Bucket interface {
	// Name is the bucket's own name, as in gs://NAME/.
	Name() string
	// Open reads an object's newest generation from offset, length bytes of it
	// (length < 0: to its end). The caller closes it.
	Open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, Attrs, error)
	// Stat returns the attributes of the newest generation.
	Stat(ctx context.Context, name string) (Attrs, error)
	// Write stores what r yields to its end, atomically: readers see the old
	// object or the new one, and an error of r leaves the old.
	Write(ctx context.Context, name string, r io.Reader, o WriteOptions) (Attrs, error)
	// Copy makes dst from src in this bucket, on the server's side, or from
	// another Bucket of the same back end (from may be nil for this one).
	Copy(ctx context.Context, dst string, from Bucket, src string, o WriteOptions) (Attrs, error)
	// Delete removes an object; ifGeneration as in WriteOptions (Absent has no
	// meaning here). Deleting what is not there is errs.NotFound.
	Delete(ctx context.Context, name string, ifGeneration int64) error
	// List yields the objects whose names start with prefix, in name order. An
	// error is yielded once, last.
	List(ctx context.Context, prefix string) iter.Seq2[Attrs, error]
}
