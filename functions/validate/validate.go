// Package validate decides whether data set versions may be trained on: storage
// notifications of the datasets bucket in; validation.json, report.html and the
// decision to train, or an alert, out.
package validate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/bus"
	"github.com/litterloop/litterloop/shared/dataset"
	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/event"
	"github.com/litterloop/litterloop/shared/telemetry"
	"github.com/litterloop/litterloop/shared/validation"
)

// Decider decides whether a version that passed is trained on, and sees to it.
// It may be told of the same version again.
type Decider interface {
	Validated(ctx context.Context, v dataset.Version) error
}

// DeciderFunc is a function as a Decider.
type DeciderFunc func(ctx context.Context, v dataset.Version) error

// Validated implements Decider.
func (f DeciderFunc) Validated(ctx context.Context, v dataset.Version) error { return f(ctx, v) }

// Function handles the event object-finalized of the datasets bucket, of the
// objects versions/ID/dataset.json and versions/ID/approval.json.
type Function struct {
	datasets blob.Bucket
	decider  Decider
	bus      bus.Publisher
	policy   validation.Policy
	now      func() time.Time
	log      *slog.Logger
}

// New returns the function.
func New(datasets blob.Bucket, d Decider, p bus.Publisher, policy validation.Policy, now func() time.Time, log *slog.Logger) *Function {
	return &Function{datasets: datasets, decider: d, bus: p, policy: policy, now: now, log: log}
}

// Handle validates the version that the event tells of, or takes up its
// approval. The same event again, or in another order, leads to the same state.
func (f *Function) Handle(ctx context.Context, e event.Event) error {
	var o event.Object
	if err := json.Unmarshal(e.Data, &o); err != nil {
		return errs.Permanentf("event-malformed", "decode %s event %s: %w", e.Type, e.ID, err)
	}
	if o.Bucket != f.datasets.Name() {
		return errs.Permanentf("event-misrouted", "event %s is of bucket %q: validate handles %q alone", e.ID, o.Bucket, f.datasets.Name())
	}
	id, ok := dataset.VersionOf(o.Name, dataset.SummaryFile)
	if !ok {
		if id, ok = dataset.VersionOf(o.Name, dataset.ApprovalFile); !ok {
			return nil
		}
	}
	v, err := dataset.Load(ctx, f.datasets, id)
	if errors.Is(err, errs.NotFound) {
		return errs.Permanentf("dataset-gone", "data set version %q was deleted: nothing to validate", id)
	}
	if err != nil {
		return err
	}
	r, err := validation.Run(ctx, f.datasets, v, f.policy, f.now)
	if err != nil {
		return err
	}
	passed := r.Passed
	if !passed {
		if passed, err = validation.Approved(ctx, f.datasets, r); err != nil {
			return err
		}
	}
	f.log.InfoContext(ctx, "data set version validated", "version", v.ID, "passed", r.Passed, "accepted", passed, "findings", len(r.Findings), "blocking", r.Blocking())
	if !passed {
		return f.alert(ctx, v, r)
	}
	if err := dataset.Pass(ctx, f.datasets, v, f.now()); err != nil {
		return err
	}
	current, err := dataset.Current(ctx, f.datasets)
	if err != nil {
		return err
	}
	if current.ID != v.ID { // a newer version passed: its own event decides
		return nil
	}
	if err := f.decider.Validated(ctx, v); err != nil {
		return err
	}
	telemetry.Succeeded(ctx, "validate", f.now())
	return nil
}

func (f *Function) alert(ctx context.Context, v dataset.Version, r validation.Result) error {
	report := fmt.Sprintf("gs://%s/%s", f.datasets.Name(), dataset.VersionObject(v.ID, dataset.ReportFile))
	e, err := event.New(event.Alert, f.now(), event.AlertData{
		Code: "dataset-rejected", Subject: v.ID,
		Message: fmt.Sprintf("data set version %s is not trained on because of %s: mend the batch and drop it again, or approve the version with `litterloop data approve`; see %s", v.ID, strings.Join(r.Blocking(), ", "), report),
		Links:   map[string]string{"report": report},
	}, "dataset-rejected", v.ID, r.Policy)
	if err != nil {
		return err
	}
	return f.bus.Publish(ctx, bus.Alerts, e)
}
