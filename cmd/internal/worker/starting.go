package worker

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"cloud.google.com/go/storage"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/blob/blobgcs"
	"github.com/litterloop/litterloop/shared/training/embedded/pretrained/fetch"
)

// StartingModels gets detectors to start trainings from; published ones are kept
// in the user's cache. open returns the bucket of a gs:// URI and what closes it.
func StartingModels(open func(ctx context.Context, bucket string) (blob.Bucket, func() error, error)) (fetch.Fetcher, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return fetch.Fetcher{}, fmt.Errorf("find a place for starting models: %w", err)
	}
	return fetch.Fetcher{
		Client: http.DefaultClient,
		Idle:   time.Minute,
		Cache:  filepath.Join(cache, "litterloop", "models"),
		Object: func(ctx context.Context, bucket, object string) (io.ReadCloser, error) {
			b, closeBucket, err := open(ctx, bucket)
			if err != nil {
				return nil, err
			}
			r, _, err := b.Open(ctx, object, 0, -1)
			if err != nil {
				closeBucket()
				return nil, err
			}
			return closing{r, closeBucket}, nil
		},
	}, nil
}

// closing closes a bucket with its reader.
type closing struct {
	io.ReadCloser
	close func() error
}

func (c closing) Close() error {
	c.ReadCloser.Close()
	return c.close()
}

// Storage opens a bucket with the credentials of this machine, or that of a local
// cloud that STORAGE_EMULATOR_HOST names.
func Storage(ctx context.Context, bucket string) (blob.Bucket, func() error, error) {
	client, err := storage.NewClient(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("open Cloud Storage: %w", err)
	}
	return blobgcs.New(client, bucket), client.Close, nil
}
