package training_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/litterloop/litterloop/shared/blob/blobmem"
	"github.com/litterloop/litterloop/shared/event"
	"github.com/litterloop/litterloop/shared/training"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func clock() func() time.Time {
	now := noon
	return func() time.Time { now = now.Add(time.Second); return now }
}

func request(t *testing.T, dataset, ledger string) training.Training {
	t.Helper()
	x, err := training.New(event.TrainData{Dataset: dataset, Trigger: "validated", Ledger: ledger}, json.RawMessage(`{"steps": 4}`))
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func begin(t *testing.T, b *training.Book, x training.Training) training.Outcome {
	t.Helper()
	o, err := b.Begin(t.Context(), x)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func TestBook_oneInFlight(t *testing.T) {
	b := training.NewBook(blobmem.New("models"), clock())
	first, second, third := request(t, "d1", ""), request(t, "d2", ""), request(t, "d3", "")
	var got []training.Outcome
	for _, x := range []training.Training{first, first, request(t, "d1", "other decision"), second, third, third} {
		got = append(got, begin(t, b, x))
	}
	want := []training.Outcome{training.InFlight, training.InFlight, training.Covered, training.Waiting, training.Waiting, training.Waiting}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("outcomes (-want +got):\n%s", diff)
	}
	if p, err := b.Pending(t.Context()); err != nil || p.Run != third.Run {
		t.Errorf("Pending = %v, %v; the newest request waits", p.Run, err)
	}
	if err := b.Finish(t.Context(), first.Run, training.Registered, 1, ""); err != nil {
		t.Fatal(err)
	}
	if o := begin(t, b, first); o != training.Over {
		t.Errorf("a run that ended begins again as %s", o)
	}
	if o := begin(t, b, third); o != training.InFlight {
		t.Errorf("the waiting run begins as %s", o)
	}
	if p, err := b.Pending(t.Context()); err == nil {
		t.Errorf("run %s still waits while in flight", p.Run)
	}
}

func TestBook_staysBounded(t *testing.T) {
	bucket := blobmem.New("models")
	b := training.NewBook(bucket, clock())
	for i := range 105 {
		x := request(t, fmt.Sprint("d", i), "")
		begin(t, b, x)
		if err := b.Finish(t.Context(), x.Run, training.Failed, 0, "no memory"); err != nil {
			t.Fatal(err)
		}
	}
	all, err := b.Trainings(t.Context())
	if err != nil || len(all) > 100 || len(all) < 50 {
		t.Errorf("the book holds %d trainings (%v)", len(all), err)
	}
	oldest := request(t, "d0", "")
	if o := begin(t, b, oldest); o != training.Over {
		t.Errorf("an archived run begins again as %s", o)
	}
	if x, err := b.Find(t.Context(), oldest.Run); err != nil || x.Failure != "no memory" {
		t.Errorf("Find(archived) = %+v, %v", x, err)
	}
}

func TestBook_waitingRequestIsAnsweredUnderANewRecipe(t *testing.T) {
	b := training.NewBook(blobmem.New("models"), clock())
	first, second := request(t, "d1", ""), request(t, "d2", "")
	begin(t, b, first)
	begin(t, b, second)
	if err := b.Finish(t.Context(), first.Run, training.Registered, 1, ""); err != nil {
		t.Fatal(err)
	}
	changed, err := training.New(event.TrainData{Dataset: "d2", Trigger: "validated"}, json.RawMessage(`{"steps": 8}`))
	if err != nil {
		t.Fatal(err)
	}
	if o := begin(t, b, changed); o != training.InFlight {
		t.Errorf("begins as %s", o)
	}
	if p, err := b.Pending(t.Context()); err == nil {
		t.Errorf("run %s still waits", p.Run)
	}
}

func TestNew_sameDecisionSameRun(t *testing.T) {
	data := event.TrainData{Dataset: "d1", Trigger: "drift", Ledger: "l1"}
	runs := map[string]string{}
	add := func(what string, d event.TrainData, recipe string) {
		x, err := training.New(d, json.RawMessage(recipe))
		if err != nil {
			t.Fatal(err)
		}
		if was, ok := runs[x.Run]; ok {
			t.Errorf("%s has the run of %s", what, was)
		}
		runs[x.Run] = what
	}
	add("the decision", data, `{"steps":4}`)
	spaced, err := training.New(data, json.RawMessage("{\n  \"steps\": 4\n}"))
	if err != nil || runs[spaced.Run] == "" {
		t.Errorf("the same recipe, indented, is another run: %v", err)
	}
	add("another recipe", data, `{"steps":5}`)
	data.Ledger = "l2"
	add("another decision", data, `{"steps":4}`)
	data.Dataset = "d2"
	add("another data set version", data, `{"steps":4}`)
	for _, id := range []string{"", "a/b", "../d1"} {
		if _, err := training.New(event.TrainData{Dataset: id}, nil); err == nil {
			t.Errorf("data set version %q was taken", id)
		}
	}
}

// The event of a decision comes again after the recipe changed: it was answered.
func TestBook_oneTrainingForADecision(t *testing.T) {
	b := training.NewBook(blobmem.New("models"), clock())
	asked := func(ledger, recipe string) training.Training {
		x, err := training.New(event.TrainData{Dataset: "d1", Trigger: "validated", Ledger: ledger}, json.RawMessage(recipe))
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	first := asked("l1", `{"steps": 1}`)
	begin(t, b, first)
	for i, want := range []training.Outcome{training.InFlight, training.Waiting, training.Waiting} {
		if got := begin(t, b, asked([]string{"l1", "l2", "l2"}[i], []string{`{"steps": 2}`, `{"steps": 2}`, `{"steps": 3}`}[i])); got != want {
			t.Errorf("request %d: %s, want %s", i, got, want)
		}
	}
	if x, err := b.Pending(t.Context()); err != nil || !strings.Contains(string(x.Recipe), "2") {
		t.Errorf("pending %+v, %v", x, err)
	}
	if err := b.Finish(t.Context(), first.Run, training.Registered, 1, ""); err != nil {
		t.Fatal(err)
	}
	if got := begin(t, b, asked("l1", `{"steps": 4}`)); got != training.Over {
		t.Errorf("after its end: %s", got)
	}
}
