// Package register turns a finished training into a registered model version
// and judges it: event register in, event deploy out when the gate passes.
package register

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strconv"
	"time"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/bus"
	"github.com/litterloop/litterloop/shared/dataset"
	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/event"
	"github.com/litterloop/litterloop/shared/registry"
	"github.com/litterloop/litterloop/shared/registry/gate"
	"github.com/litterloop/litterloop/shared/telemetry"
	"github.com/litterloop/litterloop/shared/tracking"
	"github.com/litterloop/litterloop/shared/training"
)

// Codes of alerts and of permanent errors.
const (
	CodeBadEvent       errs.Code = "register-event"
	CodeUnknownRun     errs.Code = "unknown-run"
	CodeGateRefused    errs.Code = "gate-refused"
	CodeTrainingFailed errs.Code = "training-failed"
)

// Reconsider asks the retrain policy whether the next training is due, now that
// one has ended.
type Reconsider func(ctx context.Context) error

// Current returns the newest data set version that passed validation.
type Current func(ctx context.Context) (dataset.Version, error)

// Deps are what the function works with.
type Deps struct {
	Model      string // registered model that this deployment trains
	Models     blob.Bucket
	Registry   *registry.Registry
	Runs       *tracking.Store
	Book       *training.Book
	Supervisor *training.Supervisor
	Gate       gate.Policy
	Current    Current
	Reconsider Reconsider
	Bus        bus.Publisher
	Now        func() time.Time
	Log        *slog.Logger
}

// Function handles the event register.
type Function struct{ Deps }

// New returns the function.
func New(d Deps) *Function { return &Function{d} }

// Handle registers the run's model, judges it and ends the training. It may be
// killed anywhere and called again with the same event: every step leads to the
// state it finds when it was done before.
func (f *Function) Handle(ctx context.Context, e event.Event) error {
	var d event.RegisterData
	if err := json.Unmarshal(e.Data, &d); err != nil || d.Run == "" {
		return errs.Permanentf(CodeBadEvent, "decode register event %s: no run named (%v)", e.ID, err)
	}
	t, err := f.Book.Find(ctx, d.Run)
	if errors.Is(err, errs.NotFound) {
		return errs.Permanentf(CodeUnknownRun, "register event %s: run %s is not in the book of trainings", e.ID, d.Run)
	}
	if err != nil {
		return err
	}
	switch {
	case t.State != training.Running:
		// An earlier delivery ended the training and may have died right after.
	case d.Failed != "":
		err = f.fail(ctx, t, d.Failed)
	default:
		var ended bool
		ended, err = f.register(ctx, t)
		if _, permanent := errs.Reason(err); permanent { // or it would stay in flight for good
			ended, err = true, f.fail(ctx, t, err.Error())
		}
		if err == nil && !ended {
			return nil
		}
	}
	if err != nil {
		return err
	}
	return f.next(ctx)
}

// fail ends a training that has no model.
func (f *Function) fail(ctx context.Context, t training.Training, reason string) error {
	if err := f.mark(ctx, t, reason); err != nil {
		return err
	}
	err := f.alert(ctx, event.AlertData{
		Code:    string(CodeTrainingFailed),
		Subject: "A training failed",
		Message: "Run " + t.Run + " on data set " + t.Dataset + " failed: " + reason + ". The serving model stays. Mend the cause, then ask for the training again.",
	}, t.Run)
	if err != nil {
		return err
	}
	return f.Book.Finish(ctx, t.Run, training.Failed, 0, reason)
}

// mark leaves the reason with the run, and as its description where it has none.
// A training whose job never came to open its run gets one here.
func (f *Function) mark(ctx context.Context, t training.Training, reason string) error {
	e, err := f.Runs.EnsureExperiment(ctx, f.Model)
	if err != nil {
		return err
	}
	r, err := f.Runs.CreateRun(ctx, e.ID, t.Run, training.RunName(f.Model, t.Run), map[string]string{
		tracking.TagSource: "litterloop", tracking.TagUser: "litterloop", training.TagDataset: t.Dataset,
	})
	if err != nil {
		return err
	}
	tags := map[string]string{tracking.TagFailure: reason}
	if r.Tags[tracking.TagNote] == "" {
		tags[tracking.TagNote] = "Failed: " + reason
	}
	if err := f.Runs.SetTags(ctx, t.Run, tags); err != nil {
		return err
	}
	return f.Runs.SetStatus(ctx, t.Run, tracking.Failed)
}

// register makes the run's version, judges it and ends the training; ended is
// false while the evidence is measured again.
func (f *Function) register(ctx context.Context, t training.Training) (ended bool, err error) {
	v, err := f.version(ctx, t)
	if err != nil {
		return false, err
	}
	verdict, fresh, err := f.judge(ctx, t, v)
	if err != nil {
		return false, err
	}
	if !fresh {
		f.Log.InfoContext(ctx, "evidence is stale: measuring again", "run", t.Run, "version", v.Version)
		return false, f.measure(ctx, t)
	}
	f.Log.InfoContext(ctx, "gate", "model", v.Model, "version", v.Version, "run", t.Run, "passed", verdict.Passed, "candidate", verdict.Candidate, "serving", verdict.Serving)
	if verdict.Passed {
		err = f.promote(ctx, v)
	} else {
		err = f.refuse(ctx, v, verdict)
	}
	if err != nil {
		return false, err
	}
	if err := f.Book.Finish(ctx, t.Run, training.Registered, v.Version, ""); err != nil {
		return false, err
	}
	if verdict.Passed {
		telemetry.Succeeded(ctx, "register", f.Now())
	}
	return true, nil
}

// measure starts the job that evaluates again; a job that can't be started any
// more ends the training.
func (f *Function) measure(ctx context.Context, t training.Training) error {
	err := f.Supervisor.Evaluate(ctx, t.Run)
	var died *training.Died
	if !errors.As(err, &died) {
		return err
	}
	if err := f.fail(ctx, t, died.Reason); err != nil {
		return err
	}
	return f.next(ctx)
}

func (f *Function) promote(ctx context.Context, v registry.Version) error {
	if err := f.Registry.SetAlias(ctx, v.Model, registry.Candidate, v.Version, "register", "passed the gate"); err != nil {
		return err
	}
	deploy, err := event.New(event.Deploy, f.Now(), event.DeployData{Model: v.Model, Version: v.Version}, v.Model, strconv.Itoa(v.Version))
	if err != nil {
		return err
	}
	return f.Bus.Publish(ctx, bus.Deploy, deploy)
}

func (f *Function) refuse(ctx context.Context, v registry.Version, verdict gate.Verdict) error {
	message := "Version " + strconv.Itoa(v.Version) + " of model " + v.Model + " stays registered and is not rolled out:"
	for _, r := range verdict.Reasons {
		message += "\n- " + r.Code + ": " + r.Message
	}
	return f.alert(ctx, event.AlertData{
		Code:    string(CodeGateRefused),
		Subject: "A model was refused by its gate",
		Message: message,
		Links:   map[string]string{"evidence": "gs://" + f.Models.Name() + "/" + verdict.Evaluation},
	}, v.Model, strconv.Itoa(v.Version))
}

func (f *Function) alert(ctx context.Context, a event.AlertData, identity ...string) error {
	e, err := event.New(event.Alert, f.Now(), a, append([]string{a.Code}, identity...)...)
	if err != nil {
		return err
	}
	return f.Bus.Publish(ctx, bus.Alerts, e)
}

// next sets off what waited for this training's end: the training that was
// asked for meanwhile, or the policy's question whether one is due.
func (f *Function) next(ctx context.Context) error {
	t, err := f.Book.Pending(ctx)
	if errors.Is(err, errs.NotFound) {
		return f.Reconsider(ctx)
	}
	if err != nil {
		return err
	}
	e, err := event.New(event.Train, f.Now(), event.TrainData{Dataset: t.Dataset, Trigger: t.Trigger, Reasons: t.Reasons, Ledger: t.Ledger}, t.Run, "waited")
	if err != nil {
		return err
	}
	// It goes on in the trace that asked for it, not in the one it waited for.
	return f.Bus.Publish(telemetry.Continue(ctx, map[string]string{telemetry.Traceparent: t.Trace}), bus.Train, e)
}
