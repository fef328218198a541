package blobgcs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"time"

	"cloud.google.com/go/storage"
	"github.com/googleapis/gax-go/v2"
	"google.golang.org/api/googleapi"

	"github.com/litterloop/litterloop/shared/errs"
)

// Repeating a request: 5 tries, waiting 50 ms before the second and twice as long
// before each next, less a random part of up to half. That bridges a restart of
// the local cloud and a passing refusal of the real one; the event's own
// redelivery bridges more.
const (
	maxTries   = 5
	firstPause = 50 * time.Millisecond
)

// patience is the same for requests that the client itself repeats.
func patience() []storage.RetryOption {
	return []storage.RetryOption{
		storage.WithMaxAttempts(maxTries),
		storage.WithBackoff(gax.Backoff{Initial: firstPause, Max: firstPause << maxTries, Multiplier: 2}),
	}
}

// attempts calls do until it succeeds or fails for good, and tells how often.
func attempts(ctx context.Context, do func() error) (tries int, err error) {
	pause := firstPause
	for tries = 1; ; tries++ {
		if err = do(); err == nil || tries == maxTries || ctx.Err() != nil || !unavailable(err) {
			return tries, err
		}
		t := time.NewTimer(pause - rand.N(pause/2))
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return tries, err
		}
		pause *= 2
	}
}

// translate adds the sentinel that tells the caller what to do.
func translate(err error) error {
	switch {
	case missing(err):
		return fmt.Errorf("%w: %w", errs.NotFound, err)
	case status(err) == http.StatusPreconditionFailed, status(err) == http.StatusNotModified:
		return fmt.Errorf("%w: %w", errs.Conflict, err)
	case unavailable(err):
		return fmt.Errorf("%w: %w", errs.Unavailable, err)
	}
	return err
}

func status(err error) int {
	if e, ok := errors.AsType[*googleapi.Error](err); ok {
		return e.Code
	}
	return 0
}

func missing(err error) bool {
	return errors.Is(err, storage.ErrObjectNotExist) || errors.Is(err, storage.ErrBucketNotExist) || status(err) == http.StatusNotFound
}

// unavailable says whether the same request may succeed later: the service
// refused for now, or nobody answered. What ended by the caller's own context
// is neither.
func unavailable(err error) bool {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	switch code := status(err); {
	case code == http.StatusTooManyRequests, code == http.StatusRequestTimeout, code >= 500:
		return true
	case code != 0:
		return false
	}
	return storage.ShouldRetry(err) || errors.Is(err, io.ErrUnexpectedEOF)
}
