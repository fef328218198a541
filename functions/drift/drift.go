// Package drift is the function that the Scheduler calls: it checks what the
// detector answered lately for drift, and has the retrain policy decide.
package drift

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/bus"
	"github.com/litterloop/litterloop/shared/drift"
	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/event"
	"github.com/litterloop/litterloop/shared/retrain"
	"github.com/litterloop/litterloop/shared/telemetry"
)

// Checker makes the report of the window that ends at to; see drift.Checker.
type Checker interface {
	Check(ctx context.Context, to time.Time) (*drift.Report, drift.Summary, error)
}

// Evaluator decides on training; see retrain.Evaluator.
type Evaluator interface {
	Drifted(ctx context.Context, s drift.Summary) (retrain.Decision, error)
	Reconsider(ctx context.Context) (retrain.Decision, error)
}

// Function checks for drift.
type Function struct {
	checker   Checker
	evaluator Evaluator
	bus       bus.Publisher
	log       *slog.Logger
	now       func() time.Time

	predictions blob.Bucket
}

// Codes of alerts.
const AlertLogLost = "prediction-log-lost" // the prediction log is not whole

// New returns the function; alerts go to b, and the predictions bucket remembers
// what was told.
func New(c Checker, e Evaluator, predictions blob.Bucket, b bus.Publisher, now func() time.Time, log *slog.Logger) *Function {
	return &Function{checker: c, evaluator: e, predictions: predictions, bus: b, log: log, now: now}
}

// Answer is the body of a successful call.
type Answer struct {
	Outcome  drift.Outcome     `json:"outcome"`
	Report   string            `json:"report"` // gs:// address; report.html beside it
	HTML     string            `json:"html"`
	Verdict  drift.Verdict     `json:"verdict"`
	Window   drift.Window      `json:"window"`
	Share    float64           `json:"share"`   // of Columns, by Evidently's tests
	Columns  []string          `json:"columns"` // that drifted by Evidently's tests
	Decision *retrain.Decision `json:"decision,omitempty"`
	Ledger   string            `json:"ledger,omitempty"`
}

// Handle checks the window that ends at the event's time. Errors are sorted by
// errs: there being no model yet is permanent, everything else worth repeating.
func (f *Function) Handle(ctx context.Context, e event.Event) error {
	_, err := f.check(ctx, e.Time)
	return err
}

func (f *Function) check(ctx context.Context, to time.Time) (Answer, error) {
	if to.IsZero() {
		to = f.now()
	}
	_, s, err := f.checker.Check(ctx, to)
	if err != nil { // what was held, as for a cooldown, may be due all the same
		_, held := f.evaluator.Reconsider(ctx)
		return Answer{}, both(err, held)
	}
	a := Answer{Outcome: s.Verdict.Outcome, Report: s.Report, HTML: s.HTML, Verdict: s.Verdict, Window: s.Window, Share: s.Share, Columns: s.Columns}
	d, err := f.evaluator.Drifted(ctx, s)
	if err != nil {
		return Answer{}, fmt.Errorf("drift report %s: %w", s.Report, err)
	}
	a.Decision, a.Ledger = &d, d.Ledger
	if err := f.lost(ctx, s); err != nil {
		return Answer{}, err
	}
	telemetry.Succeeded(ctx, "drift", f.now())
	f.log.InfoContext(ctx, "drift checked", "outcome", a.Outcome, "score", s.Verdict.Score, "threshold", s.Verdict.Threshold,
		"photos", s.Window.Photos, "report", s.Report, "decision", d.Outcome, "reasons", d.Reasons)
	return a, nil
}

// toldDocument remembers what people were last told that the log lacks: a function
// that sleeps between checks forgets.
const toldDocument = "reports/log-lost.json"

type toldLoss struct {
	Says string `json:"says"`
}

// lost tells people what the log lacks: when that changes, not at each check of a
// window that holds the same loss.
func (f *Function) lost(ctx context.Context, s drift.Summary) error {
	says := s.Log.Says()
	var told toldLoss
	generation, err := blob.ReadJSON(ctx, f.predictions, toldDocument, &told)
	if err != nil && !errors.Is(err, errs.NotFound) {
		return fmt.Errorf("what was told of the prediction log: %w", err)
	}
	if says == told.Says {
		return nil
	}
	if says != "" {
		f.log.WarnContext(ctx, "the prediction log is not whole", "log", says, "report", s.Report)
		e, err := event.New(event.Alert, f.now(), event.AlertData{
			Code:    AlertLogLost,
			Subject: fmt.Sprintf("The prediction log of %s is not whole", s.Model),
			Message: says,
			Links:   map[string]string{"report": s.HTML},
		}, AlertLogLost, s.ID)
		if err != nil {
			return err
		}
		if err := f.bus.Publish(ctx, bus.Alerts, e); err != nil {
			return fmt.Errorf("publish %s alert of drift report %s: %w", AlertLogLost, s.Report, err)
		}
	}
	// After the word: told twice, under one event ID, rather than never. Whoever
	// wrote meanwhile has told of the same window.
	if _, err := blob.WriteJSON(ctx, f.predictions, toldDocument, toldLoss{says}, generation); err != nil && !errors.Is(err, errs.Conflict) {
		return fmt.Errorf("remember what was told of the prediction log: %w", err)
	}
	return nil
}

// both joins two errors so that a transient one decides: the call is repeated.
func both(a, b error) error {
	if _, permanent := errs.Reason(a); permanent && b != nil {
		a, b = b, a
	}
	if a == nil || b == nil {
		return errors.Join(a, b)
	}
	return fmt.Errorf("%w; and %v", a, b)
}

// maxBody bounds a request's body; the Scheduler's holds a time at most.
const maxBody = 1 << 20

// ServeHTTP answers a POST of the Scheduler, or of a person, with an Answer. The
// window ends at the body's {"time": …}, else at the time of the schedule
// (X-CloudScheduler-ScheduleTime: the same in every repetition of a call), else
// now. An event posted here is handled as Handle does.
func (f *Function) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "send a POST to check for drift", http.StatusMethodNotAllowed)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		http.Error(w, "read the request: "+err.Error(), http.StatusBadRequest)
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	if isEvent(r, body) {
		event.Handler("drift", f.log, f.Handle).ServeHTTP(w, r)
		return
	}
	to, err := windowEnd(r.Header, body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	var a Answer
	ctx := telemetry.Continue(r.Context(), map[string]string{telemetry.Traceparent: r.Header.Get(telemetry.Traceparent)})
	err = telemetry.Handle(ctx, "drift", "schedule", func(ctx context.Context) (err error) {
		a, err = f.check(ctx, to)
		return err
	})
	if err != nil {
		f.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(a) // the client may be gone; what was done stands
}

// fail answers an error: the Scheduler repeats on anything but 2xx.
func (f *Function) fail(w http.ResponseWriter, r *http.Request, err error) {
	status := errs.Status(err)
	if errors.Is(err, errs.NotFound) {
		f.log.InfoContext(r.Context(), "no drift check", "why", err)
	} else {
		f.log.ErrorContext(r.Context(), "drift check failed", "error", err)
	}
	code, _ := errs.Reason(err)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": err.Error(), "code": string(code)})
}

func isEvent(r *http.Request, body []byte) bool {
	if r.Header.Get("Ce-Type") != "" || strings.HasPrefix(r.Header.Get("Content-Type"), "application/cloudevents+json") {
		return true
	}
	var push struct {
		Message json.RawMessage `json:"message"`
	}
	return json.Unmarshal(body, &push) == nil && push.Message != nil
}

func windowEnd(h http.Header, body []byte) (time.Time, error) {
	if len(bytes.TrimSpace(body)) > 0 {
		var b struct {
			Time time.Time `json:"time"`
		}
		if err := json.Unmarshal(body, &b); err != nil {
			return time.Time{}, fmt.Errorf(`the body is not JSON with a "time" as in {"time":"2026-01-31T12:00:00Z"}: %w`, err)
		}
		if !b.Time.IsZero() {
			return b.Time, nil
		}
	}
	if s := h.Get("X-CloudScheduler-ScheduleTime"); s != "" {
		t, err := time.Parse(time.RFC3339, s)
		if err != nil {
			return time.Time{}, fmt.Errorf("X-CloudScheduler-ScheduleTime: %w", err)
		}
		return t, nil
	}
	return time.Time{}, nil
}
