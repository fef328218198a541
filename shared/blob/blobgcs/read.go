package blobgcs

import (
	"context"
	"errors"
	"fmt"
	"io"

	"cloud.google.com/go/storage"

	"github.com/litterloop/litterloop/shared/blob"
)

// Fetch implements blob.Fetcher: the answer to a read names the generation that
// it is of.
func (b *Bucket) Fetch(ctx context.Context, name string) (_ []byte, generation int64, err error) {
	defer b.wrap(&err, "fetch", name)
	r, err := b.read.Object(name).ReadCompressed(true).NewReader(ctx)
	if err != nil {
		return nil, 0, err
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	return data, r.Attrs.Generation, err
}

var _ blob.Fetcher = (*Bucket)(nil)

// reader gives read errors their place and their sentinel.
type reader struct {
	bucket *Bucket
	name   string
	*storage.Reader
}

func (r reader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = fmt.Errorf("read gs://%s/%s: %w", r.bucket.name, r.name, translate(err))
	}
	return n, err
}

type emptyReader struct{}

func (emptyReader) Read([]byte) (int, error) { return 0, io.EOF }
