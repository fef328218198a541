// Package status reads where the loop stands from what its parts left in the
// buckets, and from Cloud Run.
package status

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/dataset"
	"github.com/litterloop/litterloop/shared/drift"
	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/registry"
	"github.com/litterloop/litterloop/shared/retrain"
	"github.com/litterloop/litterloop/shared/rollout"
	"github.com/litterloop/litterloop/shared/training"
	"github.com/litterloop/litterloop/shared/validation"
)

// Snapshot is where the loop stands, read from its buckets. What is not there
// yet is absent; the parts are read one after another.
type Snapshot struct {
	Batches   []dataset.BatchStatus `json:"batches"`
	Strays    []dataset.Stray       `json:"strays,omitempty"` // objects that no batch can hold, the first of them
	MoreStray int                   `json:"more_strays,omitempty"`
	Versions  []dataset.Version     `json:"datasets"`           // oldest first
	Current   string                `json:"current,omitempty"`  // newest version that passed validation
	Validated time.Time             `json:"validated,omitzero"` // when it passed
	Refused   []validation.Result   `json:"refused,omitempty"`  // of newer versions, which did not pass; oldest first
	Trainings []training.Training   `json:"trainings"`
	Progress  *training.Progress    `json:"progress,omitempty"` // of the training in flight
	Models    []registry.Version    `json:"models"`
	Aliases   map[string]int        `json:"aliases"`
	Rollouts  []rollout.Rollout     `json:"rollouts"`
	Serving   *rollout.Service      `json:"serving,omitempty"`
	Drift     *drift.Summary        `json:"drift,omitempty"`
	Ledger    []retrain.Entry       `json:"ledger"` // decisions, oldest first
	Queues    []Queue               `json:"queues"` // by subscription
}

// Queue is a subscription and what waits in it.
type Queue struct {
	Subscription string  `json:"subscription"`
	Waiting      int64   `json:"waiting"`          // messages not acknowledged
	Oldest       float64 `json:"oldest,omitempty"` // age of the oldest of them, seconds
}

// Waiting is what waits in a subscription; none when it is not known.
func (s Snapshot) Waiting(subscription string) Queue {
	for _, q := range s.Queues {
		if q.Subscription == subscription {
			return q
		}
	}
	return Queue{Subscription: subscription}
}

// Sources are a deployment's buckets, the model that it serves and where.
type Sources struct {
	Incoming blob.Bucket // nil for who may not read it: then without Strays

	Datasets, Models, Predictions, Ledger blob.Bucket

	Model    string
	Platform func(context.Context) (rollout.Platform, error)
	// Queues tells what waits in the subscriptions.
	Queues func(context.Context) ([]Queue, error)
}

// Read returns where the loop stands. With an error comes what could be read.
func Read(ctx context.Context, c Sources) (s Snapshot, err error) {
	data, models, predictions := c.Datasets, c.Models, c.Predictions
	// optional drops the error of what is not there yet.
	optional := func(what string, e error) bool {
		if e != nil && !errors.Is(e, errs.NotFound) {
			err = errors.Join(err, fmt.Errorf("%s: %w", what, e))
		}
		return e == nil
	}
	var e error
	s.Batches, e = dataset.Batches(ctx, data)
	optional("batches", e)
	if c.Incoming != nil {
		s.Strays, s.MoreStray, e = dataset.Strays(ctx, c.Incoming, maxStrays)
		optional("objects outside batches", e)
	}
	s.Versions, e = dataset.List(ctx, data)
	optional("data set versions", e)
	current, e := dataset.Current(ctx, data)
	optional("current data set version", e)
	s.Current = current.ID
	if current.ID != "" {
		if r, e := validation.Load(ctx, data, current.ID); optional("validation", e) {
			s.Validated = r.Created
		}
	}
	for _, v := range s.Versions {
		if v.Sequence <= current.Sequence {
			continue
		}
		if r, e := validation.Load(ctx, data, v.ID); optional("validation", e) && !r.Passed {
			s.Refused = append(s.Refused, r)
		}
	}
	s.Trainings, e = training.NewBook(models, time.Now).Trainings(ctx)
	if optional("trainings", e) && len(s.Trainings) > 0 {
		if last := s.Trainings[len(s.Trainings)-1]; last.State == training.Running {
			if p, e := training.ReadProgress(ctx, models, last.Run); optional("training's progress", e) {
				s.Progress = &p
			}
		}
	}
	r := registry.New(models, time.Now)
	s.Models, e = r.List(ctx, c.Model)
	optional("models", e)
	s.Aliases, e = r.Aliases(ctx, c.Model)
	optional("aliases", e)
	s.Rollouts, e = documents[rollout.Rollout](ctx, models, "rollouts/"+c.Model+"/")
	s.Rollouts = slices.DeleteFunc(s.Rollouts, func(r rollout.Rollout) bool { return r.Version == 0 }) // the lease lies beside them
	optional("rollouts", e)
	slices.SortFunc(s.Rollouts, func(a, b rollout.Rollout) int { return a.Version - b.Version })
	platform, e := c.Platform(ctx)
	if optional("cloud run", e) {
		if v, e := platform.Describe(ctx, c.Model); optional("service", e) {
			s.Serving = &v
		}
	}
	if d, e := drift.NewStore(predictions).Latest(ctx); optional("drift report", e) {
		s.Drift = &d
	}
	s.Queues, e = c.Queues(ctx)
	optional("what waits", e)
	s.Ledger, e = documents[retrain.Entry](ctx, c.Ledger, retrain.LedgerDir)
	optional("ledger", e)
	slices.SortStableFunc(s.Ledger, func(a, b retrain.Entry) int { return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID)) })
	return s, err
}

// maxStrays are looked at: enough to see what went wrong.
const maxStrays = 20

// documents reads every JSON document below prefix, in name order.
func documents[T any](ctx context.Context, b blob.Bucket, prefix string) ([]T, error) {
	var all []T
	for a, err := range b.List(ctx, prefix) {
		if err != nil {
			return all, err
		}
		var v T
		if _, err := blob.ReadJSON(ctx, b, a.Name, &v); err != nil && !errors.Is(err, errs.NotFound) {
			return all, err
		}
		all = append(all, v)
	}
	return all, nil
}
