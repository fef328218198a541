package register_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/litterloop/litterloop/functions/register"
	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/blob/blobmem"
	"github.com/litterloop/litterloop/shared/bus"
	"github.com/litterloop/litterloop/shared/bus/busmem"
	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/event"
	"github.com/litterloop/litterloop/shared/modelpackage"
	"github.com/litterloop/litterloop/shared/registry"
	"github.com/litterloop/litterloop/shared/tracking"
	"github.com/litterloop/litterloop/shared/training"
)

// How trainings are registered and judged is tested with the job that makes
// them, in package training/job.

func function(t *testing.T) (*register.Function, register.Deps, *busmem.Bus) {
	t.Helper()
	models, messages := blobmem.New("models"), &busmem.Bus{}
	d := register.Deps{
		Model: "litter", Models: models, Registry: registry.New(models, time.Now), Runs: tracking.New(models, time.Now),
		Book: training.NewBook(models, time.Now), Bus: messages, Now: time.Now, Log: slog.New(slog.DiscardHandler),
		Reconsider: func(context.Context) error { return nil },
	}
	return register.New(d), d, messages
}

func TestHandle_refusesWhatIsNoRun(t *testing.T) {
	f, _, _ := function(t)
	for data, want := range map[string]errs.Code{
		`{}`:              register.CodeBadEvent,
		`nonsense`:        register.CodeBadEvent,
		`{"run": "r1"}`:   register.CodeUnknownRun,
		`{"run": "../x"}`: register.CodeUnknownRun,
	} {
		err := f.Handle(t.Context(), event.Event{ID: "e", Type: event.Register, Data: json.RawMessage(data)})
		if code, _ := errs.Reason(err); code != want {
			t.Errorf("event %s: %v, want %s", data, err, want)
		}
	}
}

// The end of a training is not acknowledged before what follows it was set off.
func TestHandle_askedAgainUntilThePolicyWasAsked(t *testing.T) {
	_, d, messages := function(t)
	asked, down := 0, errors.New("the bucket is away")
	d.Reconsider = func(context.Context) error {
		if asked++; asked == 1 {
			return down
		}
		return nil
	}
	f := register.New(d)
	x, err := training.New(event.TrainData{Dataset: "d1"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Book.Begin(t.Context(), x); err != nil {
		t.Fatal(err)
	}
	e, err := event.New(event.Register, time.Now(), event.RegisterData{Run: x.Run, Failed: "no boxes"}, x.Run)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Handle(t.Context(), e); !errors.Is(err, down) {
		t.Fatalf("acknowledged: %v", err)
	}
	if err := f.Handle(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	if ended, err := d.Book.Find(t.Context(), x.Run); err != nil || ended.Failure != "no boxes" || asked != 2 {
		t.Errorf("training %+v, %v; asked %d times", ended, err, asked)
	}
	if m := messages.Messages(); len(m) != 1 || m[0].Topic != bus.Alerts {
		t.Errorf("messages %+v", m)
	}
}

// What no repetition mends ends the training: acknowledged and left in flight it
// would keep every other from beginning.
func TestHandle_aPackageThatCannotBeReadEndsTheTraining(t *testing.T) {
	f, d, messages := function(t)
	x, err := training.New(event.TrainData{Dataset: "d1"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Book.Begin(t.Context(), x); err != nil {
		t.Fatal(err)
	}
	card := training.Package("litter", x.Run) + modelpackage.CardFile
	if _, err := d.Models.Write(t.Context(), card, strings.NewReader("{"), blob.WriteOptions{IfGeneration: blob.Any}); err != nil {
		t.Fatal(err)
	}
	e, err := event.New(event.Register, time.Now(), event.RegisterData{Run: x.Run}, x.Run)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Handle(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	if ended, err := d.Book.Find(t.Context(), x.Run); err != nil || ended.State != training.Failed || ended.Failure == "" {
		t.Errorf("training %+v, %v", ended, err)
	}
	if m := messages.Messages(); len(m) != 1 || m[0].Topic != bus.Alerts {
		t.Errorf("messages %+v", m)
	}
}

// A training whose job never ran has a failed run all the same, which says why,
// and is told to people once.
func TestHandle_jobThatNeverRan(t *testing.T) {
	f, d, messages := function(t)
	x, err := training.New(event.TrainData{Dataset: "d1"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Book.Begin(t.Context(), x); err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(event.RegisterData{Run: x.Run, Failed: "Cloud Run has no job trainer"})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := f.Handle(t.Context(), event.Event{ID: "e", Type: event.Register, Data: data}); err != nil {
			t.Fatal(err)
		}
	}
	run, err := d.Runs.Run(t.Context(), x.Run)
	if err != nil || run.Status != tracking.Failed || run.Tags[tracking.TagFailure] != "Cloud Run has no job trainer" {
		t.Errorf("run %+v, %v", run, err)
	}
	told := messages.Messages()
	if len(told) != 1 || told[0].Topic != bus.Alerts || !strings.Contains(string(told[0].Event.Data), "no job trainer") {
		t.Errorf("told %+v", told)
	}
	if _, err := d.Book.Current(t.Context()); !errors.Is(err, errs.NotFound) {
		t.Errorf("still in flight: %v", err)
	}
}
