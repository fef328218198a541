package train_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
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
