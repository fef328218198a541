// Package convert turns batches into data set versions: storage notifications
// of the incoming bucket in, a version in the datasets bucket out.
package convert

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/bus"
	"github.com/litterloop/litterloop/shared/dataset"
	"github.com/litterloop/litterloop/shared/dataset/intake"
	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/event"
	"github.com/litterloop/litterloop/shared/telemetry"
)

// Function handles the event object-finalized of the incoming bucket.
type Function struct {
	incoming blob.Bucket
	intake   *intake.Intake
	bus      bus.Publisher
	now      func() time.Time
	log      *slog.Logger
}

// New returns the function. What is refused is published as an alert and lies
// under rejected/ of the incoming bucket.
func New(incoming, datasets blob.Bucket, p bus.Publisher, policy dataset.Policy, now func() time.Time, log *slog.Logger) *Function {
	f := &Function{incoming: incoming, bus: p, now: now, log: log}
	f.intake = intake.New(incoming, datasets, intake.Options{Policy: policy, Now: now, Log: log, Settled: f.settled})
	return f
}

// Handle takes in the object that the event tells of. Events may come in any
// order and any number of times. A permanent error was published as an alert.
func (f *Function) Handle(ctx context.Context, e event.Event) error {
	var o event.Object
	if err := json.Unmarshal(e.Data, &o); err != nil {
		return errs.Permanentf("event-malformed", "decode %s event %s: %w", e.Type, e.ID, err)
	}
	if o.Bucket != f.incoming.Name() {
		return errs.Permanentf("event-misrouted", "event %s is of bucket %q: convert handles %q alone", e.ID, o.Bucket, f.incoming.Name())
	}
	s, err := f.intake.Take(ctx, o.Name)
	if code, permanent := errs.Reason(err); permanent {
		if err := f.alert(ctx, code, o.Name, err.Error(), o.Name); err != nil {
			return err
		}
	}
	if err == nil {
		if s.State == dataset.Converted {
			telemetry.Succeeded(ctx, "convert", f.now())
		}
		f.log.DebugContext(ctx, "object taken in", "object", o.Name, "state", s.State, "missing", s.Missing)
	}
	return err
}

// settled publishes that a batch was rejected or lost something to quarantine.
func (f *Function) settled(ctx context.Context, s dataset.BatchStatus) error {
	code, message := errs.Code("batch-quarantined"), fmt.Sprintf("batch %q is in version %s, but not all of it", s.Batch, s.Version)
	if s.State == dataset.Rejected {
		code, message = "batch-rejected", fmt.Sprintf("batch %q was rejected", s.Batch)
	}
	for _, found := range s.Findings {
		if found.Kind == dataset.Quarantined {
			message += fmt.Sprintf("; %s (%d): %s", found.Code, found.Count, found.Message)
		}
	}
	message += fmt.Sprintf("; see gs://%s/%s", f.incoming.Name(), dataset.RejectedObject(s.Batch))
	return f.alert(ctx, code, s.Batch, message, s.Batch, s.LabelsMD5, s.Record)
}

func (f *Function) alert(ctx context.Context, code errs.Code, subject, message string, identity ...string) error {
	e, err := event.New(event.Alert, f.now(), event.AlertData{Code: string(code), Subject: subject, Message: message}, append([]string{string(code)}, identity...)...)
	if err != nil {
		return err
	}
	return f.bus.Publish(ctx, bus.Alerts, e)
}
