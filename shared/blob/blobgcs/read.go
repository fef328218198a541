package blobgcs

import (
	"errors"
	"fmt"
	"io"

	"cloud.google.com/go/storage"
)

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
