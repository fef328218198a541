// Package deploy rolls a registered model version out: event deploy in; the
// version serves, or an alert says why it does not.
package deploy

import (
	"context"
	"encoding/json"
	"log/slog"
	"time"

	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/event"
	"github.com/litterloop/litterloop/shared/rollout"
	"github.com/litterloop/litterloop/shared/telemetry"
)

// CodeBadEvent marks an event that names no model version.
const CodeBadEvent errs.Code = "deploy-event-unreadable"

// Roller takes a version as far as it gets.
type Roller interface {
	Run(ctx context.Context, model string, version int) (rollout.Rollout, error)
}

// Function handles event deploy.
type Function struct {
	roller Roller
	now    func() time.Time
	log    *slog.Logger
}

// New returns the function.
func New(r Roller, now func() time.Time, log *slog.Logger) *Function {
	return &Function{roller: r, now: now, log: log}
}

// Handle rolls out the version that the event names. A rollback is a success of
// this function: it has been recorded, and its alert published.
func (f *Function) Handle(ctx context.Context, e event.Event) error {
	var d event.DeployData
	if err := json.Unmarshal(e.Data, &d); err != nil {
		return errs.Permanentf(CodeBadEvent, "decode deploy event %s: %w", e.ID, err)
	}
	if d.Model == "" || d.Version < 1 {
		return errs.Permanentf(CodeBadEvent, "deploy event %s names model %q version %d", e.ID, d.Model, d.Version)
	}
	ro, err := f.roller.Run(ctx, d.Model, d.Version)
	if err != nil {
		return err
	}
	if ro.State == rollout.Serving {
		telemetry.Succeeded(ctx, "deploy", f.now())
	}
	f.log.InfoContext(ctx, "rollout ended", "model", d.Model, "version", d.Version, "state", ro.State, "code", ro.Code, "failure", ro.Failure)
	return nil
}
