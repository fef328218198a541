// Package blobgcs is a blob.Bucket over Google Cloud Storage, or whatever speaks
// its JSON API.
package blobgcs

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"iter"

	"cloud.google.com/go/storage"
	"google.golang.org/api/iterator"

	"github.com/litterloop/litterloop/shared/blob"
)

// Bucket is one Cloud Storage bucket. Requests that fail for want of the service
// are repeated a few times, with a pause; what still fails is errs.Unavailable.
type Bucket struct {
	name string
	// read repeats what fails; write does not, since a conditional write that is
	// repeated must be judged by whether its first try succeeded: see attempts.
	read, write *storage.BucketHandle
}

// New returns the bucket that client knows by that name. It makes no request;
// the caller closes client.
func New(client *storage.Client, bucket string) *Bucket {
	return &Bucket{
		name:  bucket,
		read:  client.Bucket(bucket).Retryer(patience()...),
		write: client.Bucket(bucket).Retryer(storage.WithPolicy(storage.RetryNever)),
	}
}

// Name implements blob.Bucket.
func (b *Bucket) Name() string { return b.name }

func (b *Bucket) wrap(err *error, verb, name string) {
	if *err != nil {
		*err = fmt.Errorf("%s gs://%s/%s: %w", verb, b.name, name, translate(*err))
	}
}

func attrs(a *storage.ObjectAttrs) blob.Attrs {
	return blob.Attrs{
		Name: a.Name, Size: a.Size, Generation: a.Generation, MD5: hex.EncodeToString(a.MD5), CRC32C: a.CRC32C,
		ContentType: a.ContentType, Metadata: withoutToken(a.Metadata), Updated: a.Updated,
	}
}

// Stat implements blob.Bucket.
func (b *Bucket) Stat(ctx context.Context, name string) (_ blob.Attrs, err error) {
	defer b.wrap(&err, "stat", name)
	a, err := b.stat(ctx, name)
	if err != nil {
		return blob.Attrs{}, err
	}
	return attrs(a), nil
}

func (b *Bucket) stat(ctx context.Context, name string) (*storage.ObjectAttrs, error) {
	return b.read.Object(name).Attrs(ctx)
}

// Open implements blob.Bucket. The attributes are those of the generation that
// is read, which takes a request of its own.
func (b *Bucket) Open(ctx context.Context, name string, offset, length int64) (_ io.ReadCloser, _ blob.Attrs, err error) {
	defer b.wrap(&err, "open", name)
	for {
		a, err := b.stat(ctx, name)
		if err != nil {
			return nil, blob.Attrs{}, err
		}
		offset = min(max(offset, 0), a.Size)
		if offset == a.Size {
			return io.NopCloser(emptyReader{}), attrs(a), nil
		}
		r, err := b.read.Object(name).Generation(a.Generation).ReadCompressed(true).NewRangeReader(ctx, offset, length)
		if missing(err) { // overwritten or deleted since: the next stat tells
			continue
		}
		if err != nil {
			return nil, blob.Attrs{}, err
		}
		return reader{b, name, r}, attrs(a), nil
	}
}

// Delete implements blob.Bucket. When a try's answer was lost and the next finds
// nothing, that is success: the object is gone, most likely by the earlier try.
func (b *Bucket) Delete(ctx context.Context, name string, ifGeneration int64) (err error) {
	defer b.wrap(&err, "delete", name)
	o := b.write.Object(name)
	if ifGeneration != blob.Any {
		o = o.If(storage.Conditions{GenerationMatch: ifGeneration})
	}
	tries, err := attempts(ctx, func() error { return o.Delete(ctx) })
	if tries > 1 && missing(err) {
		return nil // an earlier try deleted it; its answer was lost
	}
	return err
}

// List implements blob.Bucket.
func (b *Bucket) List(ctx context.Context, prefix string) iter.Seq2[blob.Attrs, error] {
	return func(yield func(blob.Attrs, error) bool) {
		q := &storage.Query{Prefix: prefix, Projection: storage.ProjectionNoACL}
		q.SetAttrSelection([]string{"Name", "Size", "Generation", "MD5", "CRC32C", "ContentType", "Metadata", "Updated"})
		it := b.read.Objects(ctx, q)
		for {
			a, err := it.Next()
			if err == iterator.Done {
				return
			}
			if err != nil {
				b.wrap(&err, "list", prefix+"*")
				yield(blob.Attrs{}, err)
				return
			}
			if !yield(attrs(a), nil) {
				return
			}
		}
	}
}

var _ blob.Bucket = (*Bucket)(nil)
