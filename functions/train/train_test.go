package train_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/litterloop/litterloop/functions/train"
	"github.com/litterloop/litterloop/shared/blob/blobmem"
	"github.com/litterloop/litterloop/shared/bus"
	"github.com/litterloop/litterloop/shared/bus/busmem"
	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/event"
	"github.com/litterloop/litterloop/shared/job"
	"github.com/litterloop/litterloop/shared/training"
)

// failing is a platform on which every execution fails.
type failing struct{ started int }

func (f *failing) Start(context.Context, job.Spec) (string, error) { f.started++; return "x", nil }
func (f *failing) Find(context.Context, job.Spec) (string, error)  { return "", errs.NotFound }
func (f *failing) Cancel(context.Context, string) error            { return nil }
func (f *failing) State(context.Context, string) (job.State, string, error) {
	return job.Failed, "out of memory", nil
}

func TestHandle_refusesWhatNamesNoDataSet(t *testing.T) {
	platform := &failing{}
	book := training.NewBook(blobmem.New("models"), time.Now)
	f := train.New(book, training.NewSupervisor(book, platform, "trainer", training.DefaultPolicy(), time.Now), &busmem.Bus{}, nil, time.Now, slog.New(slog.DiscardHandler))
	for _, data := range []string{`{}`, `[]`, `nonsense`, `{"dataset": "../d1"}`, `{"dataset": 7}`} {
		err := f.Handle(t.Context(), event.Event{ID: "e", Type: event.Train, Data: json.RawMessage(data)})
		if code, _ := errs.Reason(err); code != training.CodeBadRequest {
			t.Errorf("event %s: %v", data, err)
		}
	}
	if platform.started != 0 {
		t.Errorf("%d jobs started", platform.started)
	}
}

// A training whose every job died is given up once, however often it is
// noticed, and not before the bus took the news.
func TestCheck_givesUpATrainingWhoseJobsDied(t *testing.T) {
	messages := &busmem.Bus{}
	platform := &failing{}
	book := training.NewBook(blobmem.New("models"), time.Now)
	f := train.New(book, training.NewSupervisor(book, platform, "trainer", training.Policy{Attempts: 2, StartWithin: time.Hour}, time.Now), messages, nil, time.Now, slog.New(slog.DiscardHandler))
	if err := f.Handle(t.Context(), event.Event{Type: event.Train, Data: json.RawMessage(`{"dataset": "d1"}`)}); err != nil {
		t.Fatal(err)
	}
	if err := f.Check(t.Context()); err != nil || platform.started != 2 {
		t.Fatalf("%d jobs started, %v; a job that died once is started again", platform.started, err)
	}
	down := errors.New("the bus is down")
	messages.Fail = func(string) error { return down }
	if err := f.Check(t.Context()); !errors.Is(err, down) {
		t.Fatal(err)
	}
	messages.Fail = nil
	for range 2 {
		if err := f.Check(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	ids := map[string]bool{}
	for _, m := range messages.Messages() {
		var d event.RegisterData
		if err := json.Unmarshal(m.Event.Data, &d); err != nil || m.Topic != bus.Register || d.Failed == "" {
			t.Errorf("%s: %s, %v", m.Topic, m.Event.Data, err)
		}
		ids[m.Event.ID] = true
	}
	if len(ids) != 1 || platform.started != 2 {
		t.Errorf("events %v, %d jobs", ids, platform.started)
	}
}

// ending is a platform on which every execution ends in the same way.
type ending struct {
	failing
	state job.State
}

func (e *ending) State(context.Context, string) (job.State, string, error) {
	return e.state, "so the platform says", nil
}

// The schedule's call alone, with no event of the training, has a job that ended
// without a word started again, or its training given up.
func TestServeHTTP_watchNoticesWhatSendsNoEvent(t *testing.T) {
	for _, c := range []struct {
		state           job.State
		started, events int // after one call
	}{
		{job.Running, 1, 0},
		{job.Failed, 2, 0},
		{job.Lost, 2, 0},
		{job.Cancelled, 1, 1},
	} {
		t.Run(string(c.state), func(t *testing.T) {
			messages, platform := &busmem.Bus{}, &ending{state: c.state}
			book := training.NewBook(blobmem.New("models"), time.Now)
			f := train.New(book, training.NewSupervisor(book, platform, "trainer", training.DefaultPolicy(), time.Now), messages, nil, time.Now, slog.New(slog.DiscardHandler))
			watch := func() int {
				r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", nil)
				r.Header.Set("X-CloudScheduler", "true")
				w := httptest.NewRecorder()
				f.ServeHTTP(w, r)
				return w.Code
			}
			if code := watch(); code >= 300 || platform.started != 0 {
				t.Fatalf("nothing is in flight: %d, %d jobs", code, platform.started)
			}
			if err := f.Handle(t.Context(), event.Event{Type: event.Train, Data: json.RawMessage(`{"dataset": "d1"}`)}); err != nil {
				t.Fatal(err)
			}
			if code := watch(); code >= 300 || platform.started != c.started || len(messages.Messages()) != c.events {
				t.Errorf("%d: %d jobs started, %d events", code, platform.started, len(messages.Messages()))
			}
			messages.Fail = func(string) error { return errors.New("the bus is down") }
			if code := watch(); (code >= 500) != (c.events > 0) {
				t.Errorf("%d from a bus that is down", code)
			}
		})
	}
}
