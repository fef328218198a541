package blobgcs

import (
	"bytes"
	"context"
	"crypto/md5"
	"errors"
	"fmt"
	"io"
	"maps"

	"cloud.google.com/go/storage"

	"github.com/litterloop/litterloop/shared/blob"
)

// Up to smallWrite bytes go in one request, from a buffer that can be sent
// again; more goes as a resumable upload in chunks of chunkSize, which the
// client repeats within the upload's session.
const (
	smallWrite = 1 << 20
	chunkSize  = 8 << 20
)

// Write implements blob.Bucket. When a try's answer was lost and the next finds
// the condition broken, the object decides: if it holds the very bytes that were
// sent, the earlier try made it (or someone did who wrote the same), and that is
// success; else it is errs.Conflict.
func (b *Bucket) Write(ctx context.Context, name string, r io.Reader, o blob.WriteOptions) (_ blob.Attrs, err error) {
	defer b.wrap(&err, "write", name)
	head, err := io.ReadAll(io.LimitReader(r, smallWrite+1))
	if err != nil {
		return blob.Attrs{}, fmt.Errorf("read what to write: %w", err)
	}
	if len(head) > smallWrite {
		return b.writeLarge(ctx, name, io.MultiReader(bytes.NewReader(head), r), o)
	}
	sum := md5.Sum(head)
	var a *storage.ObjectAttrs
	tries, err := attempts(ctx, func() error {
		w := b.writer(ctx, name, o)
		w.ChunkSize = 0
		w.MD5 = sum[:]
		if _, err := w.Write(head); err != nil {
			w.Close()
			return err
		}
		if err := w.Close(); err != nil {
			return err
		}
		a = w.Attrs()
		return nil
	})
	if tries > 1 && status(err) == 412 {
		if live, serr := b.stat(ctx, name); serr == nil && live.Generation != o.IfGeneration && bytes.Equal(live.MD5, sum[:]) {
			return attrs(live), nil
		}
	}
	if err != nil {
		return blob.Attrs{}, err
	}
	return attrs(a), nil
}

func (b *Bucket) writeLarge(ctx context.Context, name string, r io.Reader, o blob.WriteOptions) (blob.Attrs, error) {
	ctx, abort := context.WithCancel(ctx)
	defer abort()
	w := b.writer(ctx, name, o)
	w.ChunkSize = chunkSize
	if _, err := io.Copy(w, failing{r}); err != nil {
		abort() // before Close, which would otherwise end the object here
		cerr := w.Close()
		if e, ok := errors.AsType[sourceError](err); ok {
			return blob.Attrs{}, fmt.Errorf("read what to write: %w", e.error)
		}
		return blob.Attrs{}, errors.Join(err, cerr)
	}
	if err := w.Close(); err != nil {
		return blob.Attrs{}, err
	}
	return attrs(w.Attrs()), nil
}

// failing marks the errors of the reader, to tell them from the upload's.
type failing struct{ r io.Reader }

type sourceError struct{ error }

func (f failing) Read(p []byte) (int, error) {
	n, err := f.r.Read(p)
	if err != nil && err != io.EOF {
		err = sourceError{err}
	}
	return n, err
}

func (b *Bucket) writer(ctx context.Context, name string, o blob.WriteOptions) *storage.Writer {
	// The condition makes a session's chunks safe to repeat.
	w := b.conditional(name, o.IfGeneration).Retryer(storage.WithPolicy(storage.RetryAlways), storage.WithMaxAttempts(maxTries)).NewWriter(ctx)
	w.ContentType = o.ContentType
	w.Metadata = o.Metadata
	return w
}

func (b *Bucket) conditional(name string, ifGeneration int64) *storage.ObjectHandle {
	o := b.handle.Object(name)
	switch ifGeneration {
	case blob.Any:
		return o
	case blob.Absent:
		return o.If(storage.Conditions{DoesNotExist: true})
	}
	return o.If(storage.Conditions{GenerationMatch: ifGeneration})
}

// Copy implements blob.Bucket. from must be a Bucket of this package.
func (b *Bucket) Copy(ctx context.Context, dst string, from blob.Bucket, src string, o blob.WriteOptions) (_ blob.Attrs, err error) {
	defer b.wrap(&err, "copy to", dst)
	source := b
	if from != nil {
		var ok bool
		if source, ok = from.(*Bucket); !ok {
			return blob.Attrs{}, fmt.Errorf("from a %T: only between buckets of Cloud Storage", from)
		}
	}
	// The source's generation is fixed first, so that a repeated try copies the
	// same bytes and a broken condition can be judged by them.
	a, err := source.stat(ctx, src)
	if err != nil {
		return blob.Attrs{}, err
	}
	var made *storage.ObjectAttrs
	tries, err := attempts(ctx, func() error {
		c := b.conditional(dst, o.IfGeneration).CopierFrom(source.handle.Object(src).Generation(a.Generation))
		if o.ContentType != "" || o.Metadata != nil {
			// Naming any attribute drops the source's others.
			c.ContentType, c.Metadata = a.ContentType, maps.Clone(a.Metadata)
			if o.ContentType != "" {
				c.ContentType = o.ContentType
			}
			if o.Metadata != nil {
				c.Metadata = o.Metadata
			}
		}
		made, err = c.Run(ctx)
		return err
	})
	if tries > 1 && status(err) == 412 {
		if live, serr := b.stat(ctx, dst); serr == nil && live.Generation != o.IfGeneration && live.CRC32C == a.CRC32C && live.Size == a.Size {
			return attrs(live), nil
		}
	}
	if err != nil {
		return blob.Attrs{}, err
	}
	return attrs(made), nil
}
