package blobgcs

import (
	"bytes"
	"context"
	"crypto/md5"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"sync/atomic"
	"time"

	"cloud.google.com/go/storage"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/telemetry"
)

// Up to smallWrite bytes go in one request, from a buffer that can be sent
// again; more goes as a resumable upload in chunks of chunkSize, which the
// client repeats within the upload's session.
const (
	smallWrite = 1 << 20
	chunkSize  = 8 << 20
	// chunkDeadline bounds the repeating of one chunk.
	chunkDeadline = 20 * time.Second
)

// withTrace adds the trace of ctx, unless the writer named one: Cloud Storage's
// notification of an object carries its metadata, and nothing else that could
// take the trace along.
func withTrace(ctx context.Context, metadata map[string]string) map[string]string {
	carried := telemetry.Carry(ctx)
	if carried == nil || metadata[telemetry.Traceparent] != "" {
		return metadata
	}
	maps.Copy(carried, metadata)
	return carried
}

// Write implements blob.Bucket. A conditional write carries a token of its own in
// the object's metadata: when a try's answer was lost and the next finds the
// condition broken, the token tells whether the earlier try made the object.
// (Comparing contents would not do: two writers may write the same, and only one
// may win.) If another write has followed by then, nobody can tell any more: that
// is errs.Conflict, and whoever reads again finds the own write's effect there.
func (b *Bucket) Write(ctx context.Context, name string, r io.Reader, o blob.WriteOptions) (_ blob.Attrs, err error) {
	defer b.wrap(&err, "write", name)
	o.Metadata = withTrace(ctx, o.Metadata)
	head, err := io.ReadAll(io.LimitReader(r, smallWrite+1))
	if err != nil {
		return blob.Attrs{}, fmt.Errorf("read what to write: %w", err)
	}
	if len(head) > smallWrite {
		return b.writeLarge(ctx, name, io.MultiReader(bytes.NewReader(head), r), o)
	}
	token := newToken(o)
	sum := md5.Sum(head)
	var made *storage.ObjectAttrs
	tries, err := attempts(ctx, func() error {
		w := b.writer(ctx, name, o)
		w.Metadata = token.addTo(o.Metadata)
		w.ChunkSize = 0
		w.MD5 = sum[:]
		if _, err := w.Write(head); err != nil {
			w.Close()
			return err
		}
		if err := w.Close(); err != nil {
			return err
		}
		made = w.Attrs()
		return nil
	})
	return b.settle(ctx, name, token, made, tries, err)
}

// settle decides what became of a write after so many tries.
func (b *Bucket) settle(ctx context.Context, name string, token token, made *storage.ObjectAttrs, tries int, err error) (blob.Attrs, error) {
	if err == nil {
		return attrs(made), nil
	}
	if tries > 1 && status(err) == http.StatusPreconditionFailed {
		if live, serr := b.stat(ctx, name); serr == nil && token.on(live) {
			return attrs(live), nil
		}
	}
	return blob.Attrs{}, err
}

func (b *Bucket) writeLarge(ctx context.Context, name string, r io.Reader, o blob.WriteOptions) (blob.Attrs, error) {
	ctx, abort := context.WithCancel(ctx)
	defer abort()
	w := b.writer(ctx, name, o)
	w.ChunkSize = chunkSize
	w.ChunkRetryDeadline = chunkDeadline
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
	// Within a session, chunks are safe to repeat, whatever the condition. Left
	// alone the client would try to begin a session for as long as ctx allows.
	var failures atomic.Int32
	repeat := storage.WithErrorFunc(func(err error) bool { return unavailable(err) && failures.Add(1) < maxTries })
	w := b.conditional(name, o.IfGeneration).Retryer(append(patience(), storage.WithPolicy(storage.RetryAlways), repeat)...).NewWriter(ctx)
	w.ProgressFunc = func(int64) { failures.Store(0) }
	w.ContentType = o.ContentType
	w.Metadata = o.Metadata
	return w
}

func (b *Bucket) conditional(name string, ifGeneration int64) *storage.ObjectHandle {
	o := b.write.Object(name)
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
	token := newToken(o)
	metadata := a.Metadata
	if o.Metadata != nil {
		metadata = o.Metadata
	}
	var made *storage.ObjectAttrs
	tries, err := attempts(ctx, func() error {
		c := b.conditional(dst, o.IfGeneration).CopierFrom(source.write.Object(src).Generation(a.Generation))
		// Naming one attribute drops the source's others, so all are named.
		c.ContentType, c.ContentEncoding, c.ContentDisposition = a.ContentType, a.ContentEncoding, a.ContentDisposition
		c.ContentLanguage, c.CacheControl = a.ContentLanguage, a.CacheControl
		c.Metadata = token.addTo(metadata)
		if o.ContentType != "" {
			c.ContentType = o.ContentType
		}
		made, err = c.Run(ctx)
		return err
	})
	return b.settle(ctx, dst, token, made, tries, err)
}
