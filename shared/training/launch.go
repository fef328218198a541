package training

import (
	"context"
	"fmt"
	"time"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/errs"
)

// CodeSuperseded is the reason of a job that another launch has replaced.
const CodeSuperseded errs.Code = "launch-superseded"

// Claim sets out to start the job of a run in flight that has had seen launches
// so far, and returns the launch's number. Of all who claim at once one wins;
// for the others claimed is false. The job started by an earlier claim, if one
// was, gives up when it comes to Adopt.
func (b *Book) Claim(ctx context.Context, run string, seen int) (number int, claimed bool, err error) {
	err = b.update(ctx, func(d *book) error {
		claimed = d.InFlight != nil && d.InFlight.Run == run && d.InFlight.Launch.Number == seen
		if !claimed {
			return blob.ErrUnchanged
		}
		number = seen + 1
		d.InFlight.Launch = Launch{Number: number, Claimed: b.now().UTC()}
		d.InFlight.Execution = ""
		return nil
	})
	if err != nil {
		return 0, false, fmt.Errorf("claim launch %d of training %s: %w", seen+1, run, err)
	}
	return number, claimed, nil
}

// Launched records the execution that a claimed launch has started.
func (b *Book) Launched(ctx context.Context, run string, number int, execution string) error {
	err := b.update(ctx, func(d *book) error {
		if d.InFlight == nil || d.InFlight.Run != run || d.InFlight.Launch.Number != number || d.InFlight.Execution == execution {
			return blob.ErrUnchanged
		}
		d.InFlight.Execution = execution
		return nil
	})
	if err != nil {
		return fmt.Errorf("record execution %s of training %s: %w", execution, run, err)
	}
	return nil
}

// Adopt is called by a job before it works and returns its training. It is a
// permanent error with CodeSuperseded when the run is not in flight any more or
// a newer launch was claimed: then another job does the work, or it is done.
func (b *Book) Adopt(ctx context.Context, run string, number int) (Training, error) {
	var t Training
	err := b.update(ctx, func(d *book) error {
		f := d.InFlight
		if f == nil || f.Run != run {
			return errs.Permanentf(CodeSuperseded, "training %s is not in flight", run)
		}
		if f.Launch.Number != number {
			return errs.Permanentf(CodeSuperseded, "training %s was launched again: this is launch %d, the newest is %d", run, number, f.Launch.Number)
		}
		t = *f
		if !f.Launch.Adopted.IsZero() {
			return blob.ErrUnchanged
		}
		f.Launch.Adopted = b.now().UTC()
		t = *f
		return nil
	})
	return t, err
}

// Unconfirmed tells whether the newest launch was claimed longer than grace ago
// with neither an execution recorded nor a job at work: whoever claimed it died.
func (t Training) Unconfirmed(now time.Time, grace time.Duration) bool {
	return t.Execution == "" && t.Launch.Adopted.IsZero() && now.Sub(t.Launch.Claimed) > grace
}
