package training

import (
	"context"
	"fmt"
	"time"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/errs"
)

// Task is what a training's job does.
type Task string

// Tasks. Evaluating measures a finished model again, because the serving model
// or the newest data set version changed since.
const (
	Train    Task = "train"
	Evaluate Task = "evaluate"
)

// Launch guards the start of a job, which the platform can't make idempotent: a
// launch is claimed before its job is started, and the job works only while its
// launch is the newest.
type Launch struct {
	Number    int       `json:"number"` // 1, 2, …; 0 before the first
	Task      Task      `json:"task,omitempty"`
	Execution string    `json:"execution,omitempty"` // of the job, once it is known
	Claimed   time.Time `json:"claimed,omitzero"`    // when a function set out to start it; zero when that failed
	Adopted   time.Time `json:"adopted,omitzero"`    // when its job began to work
	Failures  int       `json:"failures,omitempty"`  // executions before this one that died
	Said      string    `json:"said,omitempty"`      // the last error of its job, where the job could tell it
	Since     time.Time `json:"since,omitzero"`      // when the first of the launches was due that no job confirmed
	Refusal   string    `json:"refusal,omitempty"`   // what the platform said to the last start that failed
}

// CodeSuperseded is the reason of a job that another launch has replaced.
const CodeSuperseded errs.Code = "launch-superseded"

// claim makes next the newest launch of a run in flight, if seen still is. Of
// all who claim at once one wins; for the others ok is false. A job started for
// an earlier launch gives up when it comes to Adopt.
func (b *Book) claim(ctx context.Context, run string, seen, next Launch) (_ Launch, ok bool, err error) {
	next.Number, next.Claimed = seen.Number+1, b.now().UTC()
	err = b.update(ctx, func(d *book) error {
		ok = d.InFlight != nil && d.InFlight.Run == run && d.InFlight.Launch.equal(seen)
		if !ok {
			return blob.ErrUnchanged
		}
		d.InFlight.Launch, d.InFlight.Execution = next, ""
		return nil
	})
	if err != nil {
		return Launch{}, false, fmt.Errorf("claim launch %d of training %s: %w", next.Number, run, err)
	}
	return next, ok, nil
}

func (l Launch) equal(o Launch) bool {
	return l.Number == o.Number && l.Execution == o.Execution && l.Claimed.Equal(o.Claimed) && l.Adopted.Equal(o.Adopted)
}

// launched records the execution that a claimed launch has started.
func (b *Book) launched(ctx context.Context, run string, number int, execution string) error {
	return b.answered(ctx, run, number, func(f *Training) {
		f.Launch.Execution, f.Execution = execution, execution
	})
}

// refused records that a claimed launch has started nothing as far as is known.
func (b *Book) refused(ctx context.Context, run string, number int, why string) error {
	return b.answered(ctx, run, number, func(f *Training) {
		f.Launch.Claimed, f.Launch.Refusal = time.Time{}, why
	})
}

func (b *Book) answered(ctx context.Context, run string, number int, note func(*Training)) error {
	err := b.update(ctx, func(d *book) error {
		f := d.InFlight
		if f == nil || f.Run != run || f.Launch.Number != number {
			return blob.ErrUnchanged
		}
		note(f)
		return nil
	})
	if err != nil {
		return fmt.Errorf("record launch %d of training %s: %w", number, run, err)
	}
	return nil
}

// Adopt is called by a job before it works and returns its training; execution
// is what the platform calls the job, or empty. It is a permanent error with
// CodeSuperseded when the run is not in flight any more or a newer launch was
// claimed: then another job does the work, or it is done.
func (b *Book) Adopt(ctx context.Context, run string, number int, execution string) (Training, error) {
	var t Training
	err := b.update(ctx, func(d *book) error {
		f := d.InFlight
		if f == nil || f.Run != run {
			return errs.Permanentf(CodeSuperseded, "training %s is not in flight", run)
		}
		if f.Launch.Number != number {
			return errs.Permanentf(CodeSuperseded, "training %s was launched again: this is launch %d, the newest is %d", run, number, f.Launch.Number)
		}
		if !f.Launch.Adopted.IsZero() {
			t = *f
			return blob.ErrUnchanged
		}
		f.Launch.Adopted = b.now().UTC()
		if f.Launch.Execution == "" { // its launcher died before it noted it
			f.Launch.Execution, f.Execution = execution, execution
		}
		t = *f
		return nil
	})
	return t, err
}

// Note keeps what a job of a launch said when it failed, for people: the platform
// knows no more than its exit status. A launch that is not the newest is left alone.
func (b *Book) Note(ctx context.Context, run string, number int, said string) error {
	err := b.update(ctx, func(d *book) error {
		f := d.InFlight
		if f == nil || f.Run != run || f.Launch.Number != number || f.Launch.Said == said {
			return blob.ErrUnchanged
		}
		f.Launch.Said = said
		return nil
	})
	if err != nil {
		return fmt.Errorf("note the error of training %s: %w", run, err)
	}
	return nil
}
