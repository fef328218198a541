package training

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/errs"
)

const (
	bookDocument = "trainings/book.json"
	// The book is rewritten with every change, so it keeps what policies ask
	// about (a month's trainings) and leaves the rest to records of their own.
	maxEnded  = 100
	keepEnded = 50
)

// book is the document. Trainings are in order of their start.
type book struct {
	InFlight *Training  `json:"in_flight,omitempty"`
	Pending  *Training  `json:"pending,omitempty"` // asked for while another was in flight
	Ended    []Training `json:"ended,omitempty"`
}

// Book is the book of trainings on the models bucket. Every change is one
// compare-and-swap. Safe for concurrent use.
type Book struct {
	bucket blob.Bucket
	now    func() time.Time
}

// NewBook returns the book kept in the models bucket b.
func NewBook(b blob.Bucket, now func() time.Time) *Book { return &Book{bucket: b, now: now} }

// Outcome is what Begin did with a request.
type Outcome string

// Outcomes of Begin.
const (
	InFlight Outcome = "in-flight" // it is the training in flight: see that its job runs
	Waiting  Outcome = "waiting"   // another is in flight; it is kept, the newest wins
	Covered  Outcome = "covered"   // the one in flight trains the same recipe on the same data
	Over     Outcome = "over"      // it ended before; nothing is left to do
)

// Begin enters a training, unless it is known already.
func (b *Book) Begin(ctx context.Context, t Training) (Outcome, error) {
	if _, err := b.record(ctx, t.Run); err == nil {
		return Over, nil
	} else if !errors.Is(err, errs.NotFound) {
		return "", err
	}
	var outcome Outcome
	err := b.update(ctx, func(d *book) error {
		t.State, t.Started = Running, b.now().UTC()
		f := d.InFlight
		switch {
		case slices.ContainsFunc(d.Ended, t.answers):
			outcome = Over
		case f == nil:
			outcome, d.InFlight = InFlight, &t
			// What waited is answered by it, even if the recipe changed since.
			if d.Pending != nil && d.Pending.Dataset == t.Dataset {
				d.Pending = nil
			}
			return nil
		case t.answers(*f):
			outcome = InFlight
		case f.same(t):
			outcome = Covered
		case d.Pending != nil && t.answers(*d.Pending):
			outcome = Waiting
		default:
			outcome, d.Pending = Waiting, &t
			return nil
		}
		return blob.ErrUnchanged
	})
	if err != nil {
		return "", fmt.Errorf("enter training %s: %w", t.Run, err)
	}
	return outcome, nil
}

// answers tells whether t answers the request that u does: it is the same run,
// or of the same decision, whose event came again after the recipe changed.
func (t *Training) answers(u Training) bool {
	return t.Run == u.Run || t.Ledger != "" && t.Ledger == u.Ledger
}

// same tells whether t and u would learn the same from the same.
func (t *Training) same(u Training) bool {
	return t.Dataset == u.Dataset && bytes.Equal(compact(t.Recipe), compact(u.Recipe))
}

// Current returns the training in flight; errs.NotFound when there is none.
func (b *Book) Current(ctx context.Context) (Training, error) {
	d, err := b.read(ctx)
	if err == nil && d.InFlight == nil {
		err = fmt.Errorf("training in flight: %w", errs.NotFound)
	}
	if err != nil {
		return Training{}, err
	}
	return *d.InFlight, nil
}

// Pending returns the training that waits for the one in flight; errs.NotFound
// when none does.
func (b *Book) Pending(ctx context.Context) (Training, error) {
	d, err := b.read(ctx)
	if err == nil && d.Pending == nil {
		err = fmt.Errorf("waiting training: %w", errs.NotFound)
	}
	if err != nil {
		return Training{}, err
	}
	return *d.Pending, nil
}

// Find returns the training of a run, whether it runs or ended long ago;
// errs.NotFound when the book never had it.
func (b *Book) Find(ctx context.Context, run string) (Training, error) {
	trainings, err := b.Trainings(ctx)
	if err != nil {
		return Training{}, err
	}
	if i := slices.IndexFunc(trainings, func(t Training) bool { return t.Run == run }); i >= 0 {
		return trainings[i], nil
	}
	return b.record(ctx, run)
}

// Trainings returns the recent trainings, fifty at least where there were so
// many, in order of their start, the one in flight last.
func (b *Book) Trainings(ctx context.Context) ([]Training, error) {
	d, err := b.read(ctx)
	if err != nil {
		return nil, err
	}
	if d.InFlight != nil {
		d.Ended = append(d.Ended, *d.InFlight)
	}
	return d.Ended, nil
}

// Finish ends the training of a run as Registered (with its model version) or
// Failed (with the reason). Ending it again, or a run that is not in flight,
// changes nothing.
func (b *Book) Finish(ctx context.Context, run string, state State, version int, failure string) error {
	err := b.update(ctx, func(d *book) error {
		if d.InFlight == nil || d.InFlight.Run != run {
			return blob.ErrUnchanged
		}
		t := *d.InFlight
		t.State, t.Version, t.Failure, t.Ended = state, version, failure, b.now().UTC()
		d.InFlight = nil
		d.Ended = append(d.Ended, t)
		return b.archive(ctx, d)
	})
	if err != nil {
		return fmt.Errorf("end training %s: %w", run, err)
	}
	return nil
}

// archive moves the oldest trainings of a full book to records of their own. An
// ended training never changes, so a record stored twice is the same.
func (b *Book) archive(ctx context.Context, d *book) error {
	if len(d.Ended) <= maxEnded {
		return nil
	}
	old := d.Ended[:len(d.Ended)-keepEnded]
	for _, t := range old {
		if _, err := blob.WriteJSON(ctx, b.bucket, recordDocument(t.Run), t, blob.Absent); err != nil && !errors.Is(err, errs.Conflict) {
			return err
		}
	}
	d.Ended = d.Ended[len(old):]
	return nil
}

func recordDocument(run string) string { return "trainings/" + run + "/record.json" }

func (b *Book) record(ctx context.Context, run string) (t Training, err error) {
	_, err = blob.ReadJSON(ctx, b.bucket, recordDocument(run), &t)
	return t, err
}

func (b *Book) read(ctx context.Context) (d book, err error) {
	if _, err = blob.ReadJSON(ctx, b.bucket, bookDocument, &d); errors.Is(err, errs.NotFound) {
		return book{}, nil
	}
	return d, err
}

func (b *Book) update(ctx context.Context, change func(*book) error) error {
	_, err := blob.Update(ctx, b.bucket, bookDocument, func(d *book) error {
		return change(d)
	})
	return err
}
