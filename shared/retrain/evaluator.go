package retrain

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/bus"
	"github.com/litterloop/litterloop/shared/dataset"
	"github.com/litterloop/litterloop/shared/drift"
	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/event"
	"github.com/litterloop/litterloop/shared/training"
)

// Datasets are the versions that could be trained on.
type Datasets interface {
	// Current is the newest version that passed validation; errs.NotFound when
	// there is none.
	Current(ctx context.Context) (dataset.Version, error)
	Load(ctx context.Context, id string) (dataset.Version, error)
	Photos(ctx context.Context, id string) ([]dataset.Photo, error)
}

// Trainings are those that were started, in any order.
type Trainings interface {
	Trainings(ctx context.Context) ([]training.Training, error)
}

// Evaluator decides, keeps the ledger and publishes what follows. It is safe for
// concurrent use, in one process and in many: of two evaluations at once one
// fires.
type Evaluator struct {
	policy    Policy
	bucket    blob.Bucket // predictions: the state
	ledger    blob.Bucket // entries, never rewritten
	datasets  Datasets
	trainings Trainings
	bus       bus.Publisher
	now       func() time.Time
}

// NewEvaluator returns the evaluator of a policy. Its state lies in predictions,
// its entries in ledger, where nothing needs to be replaced or deleted: a bucket
// with a retention policy serves.
func NewEvaluator(p Policy, predictions, ledger blob.Bucket, d Datasets, t Trainings, b bus.Publisher, now func() time.Time) *Evaluator {
	return &Evaluator{p, predictions, ledger, d, t, b, now}
}

// Validated decides about a version that passed validation. Should a newer
// version have passed already, the decision is about that one. An error is
// transient: the caller must not acknowledge, and calling again is harmless.
func (e *Evaluator) Validated(ctx context.Context, v dataset.Version) (Decision, error) {
	return e.evaluate(ctx, question{cause: Validated, subject: v.ID, version: &v})
}

// Drifted decides after a drift check, whatever the check found: drift opens
// until a training that starts later succeeds, or a later model version is
// found stable. Errors as Validated.
func (e *Evaluator) Drifted(ctx context.Context, s drift.Summary) (Decision, error) {
	return e.evaluate(ctx, question{cause: Drifted, subject: s.ID, check: &s})
}

// Reconsider decides again about what was held: after a training ended, or when
// a cooldown or a month is over. Errors as Validated.
func (e *Evaluator) Reconsider(ctx context.Context) (Decision, error) {
	return e.evaluate(ctx, question{cause: Reconsider})
}

// question is what an evaluation was asked.
type question struct {
	cause   Cause
	subject string
	version *dataset.Version // of Validated
	check   *drift.Summary   // of Drifted
}

func (e *Evaluator) evaluate(ctx context.Context, q question) (d Decision, err error) {
	defer errs.Wrap(&err, "decide on training (%s %s)", q.cause, q.subject)
	for {
		d, err = e.try(ctx, q)
		if !errors.Is(err, errs.Conflict) || ctx.Err() != nil {
			return d, err
		}
	}
}

// try evaluates once; errs.Conflict when another evaluation was faster.
//
// The order makes a crash at any point harmless: the claim (of two evaluations
// that would fire, one gets it), the ledger entry, then the event, whose ID comes
// from the entry. A claim whose event is not out is settled by whichever
// evaluation comes next, the redelivery of this one at the latest.
func (e *Evaluator) try(ctx context.Context, q question) (Decision, error) {
	s, err := readState(ctx, e.bucket)
	if err != nil {
		return Decision{}, err
	}
	if err := e.settle(ctx, s); err != nil {
		return Decision{}, err
	}
	trainings, err := e.trainings.Trainings(ctx)
	if err != nil {
		return Decision{}, err
	}
	changed := s.doc.observe(e.policy, q.check, trainings)
	if r := s.doc.Request; r.answers(q) && r.awaited(e.policy, trainings, e.now()) {
		return r.Entry.decision(), e.alert(ctx, q, s, r.Entry) // asked again: the same answer
	}
	in, err := e.inputs(ctx, q, s.doc, trainings)
	if err != nil {
		return Decision{}, err
	}
	entry := newEntry(e.policy, in, Decide(e.policy, in))
	if fired := entry.Decision.Outcome == Fired; fired || changed {
		if fired {
			s.doc.Request = &request{Entry: entry}
		}
		if err := s.write(ctx); err != nil {
			return Decision{}, err
		}
	}
	if err := record(ctx, e.ledger, entry); err != nil {
		return Decision{}, err
	}
	if err := e.settle(ctx, s); err != nil {
		return Decision{}, err
	}
	return entry.decision(), e.alert(ctx, q, s, entry)
}

// inputs gathers the facts.
func (e *Evaluator) inputs(ctx context.Context, q question, doc state, trainings []training.Training) (Inputs, error) {
	now := e.now().UTC()
	in := Inputs{Cause: q.cause, Subject: q.subject, Now: now, Drift: doc.Drift}
	if doc.Suspicion != nil {
		in.Suspected = doc.Suspicion.Checks
	}
	if doc.Request.awaited(e.policy, trainings, now) {
		in.Requested = doc.Request.Entry.ID
	}
	v, err := e.newest(ctx, q.version)
	if err != nil {
		return in, err
	}
	slices.SortStableFunc(trainings, func(a, b training.Training) int { return a.Started.Compare(b.Started) })
	for _, t := range trainings {
		in.LastStarted = t.Started
		if t.Started.UTC().Year() == now.Year() && t.Started.UTC().Month() == now.Month() {
			in.StartedThisMonth++
		}
		if t.State == training.Running {
			in.InFlight = t.Run
		}
		if t.State != training.Failed {
			in.Baseline = t.Dataset
		}
		if v != nil && t.Dataset == v.ID {
			in.FailedBefore = t.State == training.Failed
		}
	}
	if v == nil {
		return in, nil
	}
	photos, err := e.datasets.Photos(ctx, v.ID)
	if err != nil {
		return in, fmt.Errorf("photos of version %s: %w", v.ID, err)
	}
	for _, p := range photos {
		if p.Split == dataset.Train {
			in.Photos++
		}
	}
	have := labelsOf(v.Classes, photos)
	base, err := e.baseline(ctx, in.Baseline)
	if err != nil {
		return in, err
	}
	in.Dataset, in.Labels, in.BaselineLabels, in.NewLabels = v.ID, have.count(), base.count(), have.beyond(base)
	return in, nil
}

// newest is the version to train on: asked, or the current one when that is
// newer (events arrive in any order); nil when there is none.
func (e *Evaluator) newest(ctx context.Context, asked *dataset.Version) (*dataset.Version, error) {
	current, err := e.datasets.Current(ctx)
	switch {
	case errors.Is(err, errs.NotFound):
		return asked, nil
	case err != nil:
		return nil, fmt.Errorf("current version: %w", err)
	case asked != nil && asked.Sequence > current.Sequence:
		return asked, nil
	}
	return &current, nil
}

// baseline are the labels of the version that the last training learned. One
// that was deleted counts as empty: then everything is new.
func (e *Evaluator) baseline(ctx context.Context, id string) (labels, error) {
	if id == "" {
		return nil, nil
	}
	v, err := e.datasets.Load(ctx, id)
	if err == nil {
		var photos []dataset.Photo
		if photos, err = e.datasets.Photos(ctx, id); err == nil {
			return labelsOf(v.Classes, photos), nil
		}
	}
	if errors.Is(err, errs.NotFound) {
		return nil, nil
	}
	return nil, fmt.Errorf("version %s of the last training: %w", id, err)
}

// settle brings a claimed request to its end: its entry in the ledger, its event
// on the bus, and the mark that it is there.
func (e *Evaluator) settle(ctx context.Context, s *stored) error {
	r := s.doc.Request
	if r == nil || r.Published {
		return nil
	}
	if err := record(ctx, e.ledger, r.Entry); err != nil {
		return err
	}
	topic, kind := bus.Train, event.Train
	if r.Entry.Decision.Trigger == TriggerDrift {
		topic, kind = bus.Retrain, event.Retrain
	}
	ev, err := event.New(kind, r.Entry.Created, event.TrainData{
		Dataset: r.Entry.Inputs.Dataset,
		Trigger: r.Entry.Decision.Trigger,
		Reasons: r.Entry.Decision.Reasons,
		Ledger:  r.Entry.ID,
	}, r.Entry.ID)
	if err != nil {
		return err
	}
	if err := e.bus.Publish(ctx, topic, ev); err != nil {
		return fmt.Errorf("publish %s event of ledger entry %s: %w", kind, r.Entry.ID, err)
	}
	r.Published = true
	return s.write(ctx)
}
