package training_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/litterloop/litterloop/shared/blob/blobmem"
	"github.com/litterloop/litterloop/shared/errs"
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
	for i := range 205 {
		x := request(t, fmt.Sprint("d", i), "")
		begin(t, b, x)
		if err := b.Finish(t.Context(), x.Run, training.Failed, 0, "no memory"); err != nil {
			t.Fatal(err)
		}
	}
	all, err := b.Trainings(t.Context())
	if err != nil || len(all) > 200 || len(all) < 100 {
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

func superseded(err error) bool {
	code, ok := errs.Reason(err)
	return ok && code == training.CodeSuperseded
}
