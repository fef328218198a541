package rollout

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/errs"
)

// A holder renews its lease three times within its length; one that died leaves
// the next to wait for no longer than that length.
const (
	leaseLength = 15 * time.Second
	leaseRenew  = 5 * time.Second
)

// lease is who may roll out a model now.
type lease struct {
	Holder  string    `json:"holder"`
	Expires time.Time `json:"expires"`
}

var errLeaseLost = fmt.Errorf("another function took over the rollout: %w", errs.Unavailable)

// acquire takes the model's lease and keeps it until release is called. The
// context it returns ends when the lease is lost.
func (r *Roller) acquire(ctx context.Context, model string) (held context.Context, release func(), err error) {
	me := uuid.NewString()
	if err := r.extend(ctx, model, me, true); err != nil {
		return nil, nil, err
	}
	held, lost := context.WithCancelCause(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		for r.Sleep(held, leaseRenew) == nil {
			if err := r.extend(held, model, me, false); errors.Is(err, errLeaseLost) {
				lost(err)
			}
		}
	})
	return held, func() {
		lost(nil)
		wg.Wait()
		// Best effort: it expires by itself.
		blob.Update(context.WithoutCancel(ctx), r.Models, leaseDocument(model), func(l *lease) error {
			if l.Holder != me {
				return blob.ErrUnchanged
			}
			*l = lease{}
			return nil
		})
	}, nil
}

// extend makes the lease mine for another length. The first time it may be
// taken when it has expired; afterwards it must still be mine.
func (r *Roller) extend(ctx context.Context, model, me string, first bool) error {
	_, err := blob.Update(ctx, r.Models, leaseDocument(model), func(l *lease) error {
		now := r.Now()
		switch {
		case l.Holder == me:
		case !first:
			return errLeaseLost
		case l.Holder != "" && now.Before(l.Expires):
			return fmt.Errorf("another rollout of %s is in progress until %s or longer: %w", model, l.Expires.Format(time.RFC3339), errs.Unavailable)
		}
		*l = lease{Holder: me, Expires: now.Add(leaseLength).UTC()}
		return nil
	})
	return err
}
