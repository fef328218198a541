package retrain

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/litterloop/litterloop/shared/bus"
	"github.com/litterloop/litterloop/shared/drift"
	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/event"
)

// Codes of alerts.
const (
	AlertLabelsNeeded = "drift-labels-needed" // drift, and nothing new to learn from
	AlertDrift        = "drift"               // drift, and what the loop does about it
)

// alert tells people of drift: at once when it is found or when what they should
// do changes, then every AskAgain while it lasts.
func (e *Evaluator) alert(ctx context.Context, q question, s *stored, entry Entry) error {
	if q.check == nil || q.check.Verdict.Outcome != drift.Drifted || entry.Inputs.Drift == nil {
		return nil
	}
	a := &alerted{Code: AlertDrift, ModelVersion: q.check.ModelVersion, Report: q.check.ID, At: entry.Created}
	if entry.Decision.AskForLabels {
		a.Code = AlertLabelsNeeded
	}
	if last := s.doc.Alerted; last != nil && last.ModelVersion == a.ModelVersion &&
		(last.Report == a.Report && last.Code == a.Code || entry.Created.Sub(last.At) < e.policy.AskAgain && last.Code == a.Code) {
		return nil
	}
	ev, err := event.New(event.Alert, entry.Created, alertData(a.Code, q.check, entry), a.Code, a.Report)
	if err != nil {
		return err
	}
	if err := e.bus.Publish(ctx, bus.Alerts, ev); err != nil {
		return fmt.Errorf("publish %s alert of drift report %s: %w", a.Code, a.Report, err)
	}
	s.doc.Alerted = a
	if err := s.write(ctx); err != nil && !errors.Is(err, errs.Conflict) {
		return err
	}
	// On a conflict the alert may go out once more under its ID: better than not.
	return nil
}

func alertData(code string, check *drift.Summary, entry Entry) event.AlertData {
	d := event.AlertData{
		Code:    code,
		Subject: fmt.Sprintf("Drift: the photos that %s version %s answers have changed", check.Model, check.ModelVersion),
		Message: check.Verdict.Reason,
		Links:   map[string]string{"report": check.HTML, "ledger": entry.ID},
	}
	if check.ToLabel != "" {
		d.Links["to_label"] = check.ToLabel
	}
	switch {
	case code == AlertLabelsNeeded:
		d.Message += fmt.Sprintf(" There are no new labels to train on. Label the %d photos listed in %s and drop them as a batch: any new label then starts a training at once.", check.ToLabelCount, check.ToLabel)
	case entry.Decision.Outcome == Fired:
		d.Message += fmt.Sprintf(" A training on data set version %s was started.", entry.Inputs.Dataset)
	default:
		d.Message += fmt.Sprintf(" No training was started: %s.", strings.Join(entry.Decision.Reasons, ", "))
	}
	return d
}
