// Package train starts training jobs and watches them: events train and retrain
// in, one job of each run out.
package train

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/litterloop/litterloop/shared/bus"
	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/event"
	"github.com/litterloop/litterloop/shared/telemetry"
	"github.com/litterloop/litterloop/shared/training"
)

// Function handles the events train and retrain.
type Function struct {
	book       *training.Book
	supervisor *training.Supervisor
	bus        bus.Publisher
	recipe     json.RawMessage
	now        func() time.Time
	log        *slog.Logger
}

// New returns the function. recipe is the JSON of the trainer's recipe, kept
// with each training, so that a later change of the policy does not change what
// is under way.
func New(b *training.Book, s *training.Supervisor, p bus.Publisher, recipe json.RawMessage, now func() time.Time, log *slog.Logger) *Function {
	return &Function{book: b, supervisor: s, bus: p, recipe: recipe, now: now, log: log}
}

// Handle enters the training that the event asks for in the book and sees that
// the one in flight has its job. The same event again, or in another order,
// leads to the same state.
func (f *Function) Handle(ctx context.Context, e event.Event) error {
	var d event.TrainData
	if err := json.Unmarshal(e.Data, &d); err != nil {
		return errs.Permanentf(training.CodeBadRequest, "decode %s event %s: %w", e.Type, e.ID, err)
	}
	t, err := training.New(d, f.recipe)
	if err != nil {
		return err
	}
	t.Trace = telemetry.Carry(ctx)[telemetry.Traceparent]
	outcome, err := f.book.Begin(ctx, t)
	if err != nil {
		return err
	}
	f.log.InfoContext(ctx, "training asked for", "run", t.Run, "dataset", t.Dataset, "trigger", t.Trigger, "outcome", outcome)
	return f.Check(ctx)
}

// ServeHTTP serves events as event.Handler does, and the watch: a call of Cloud
// Scheduler, by its header, has the training in flight checked, whatever its body.
func (f *Function) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("X-CloudScheduler") == "" {
		event.Handler("train", f.log, f.Handle).ServeHTTP(w, r)
		return
	}
	// No span: it is called every few minutes, mostly for nothing, and what it
	// does belongs to the trace of the training.
	err := f.Check(r.Context())
	if errors.Is(err, training.ErrLaunching) { // somebody is at it
		err = nil
	}
	if err != nil {
		f.log.WarnContext(r.Context(), "the training in flight could not be checked", "error", err)
		http.Error(w, err.Error(), errs.Status(err))
		return
	}
	w.WriteHeader(errs.Status(nil))
}

// Check notices a job that died, was cancelled or lost: it starts the job again,
// or gives its training up. It starts a waiting training that nobody started.
// Call it now and then: neither a dead job nor a vanished machine sends an event.
func (f *Function) Check(ctx context.Context) error {
	if err := f.startWaiting(ctx); err != nil {
		return err
	}
	err := f.supervisor.Ensure(ctx)
	var died *training.Died
	if !errors.As(err, &died) {
		return err
	}
	f.log.WarnContext(ctx, "training given up", "run", died.Training.Run, "reason", died.Reason)
	ended, err := event.New(event.Register, f.now(), event.RegisterData{Run: died.Training.Run, Failed: died.Reason}, died.Training.Run, "died")
	if err != nil {
		return err
	}
	// Whoever notices, the training's end belongs to the trace it began in.
	return f.bus.Publish(telemetry.Continue(ctx, map[string]string{telemetry.Traceparent: died.Training.Trace}), bus.Register, ended)
}

func (f *Function) startWaiting(ctx context.Context) error {
	if _, err := f.book.Current(ctx); !errors.Is(err, errs.NotFound) {
		return err
	}
	t, err := f.book.Pending(ctx)
	if errors.Is(err, errs.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = f.book.Begin(ctx, t)
	return err
}
