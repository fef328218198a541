package retrain

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/blob/blobmem"
	"github.com/litterloop/litterloop/shared/bus"
	"github.com/litterloop/litterloop/shared/bus/busmem"
	"github.com/litterloop/litterloop/shared/dataset"
	"github.com/litterloop/litterloop/shared/drift"
	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/event"
	"github.com/litterloop/litterloop/shared/training"
)

// world is a loop in memory: data sets, trainings, a clock, and the evaluator.
type world struct {
	*testing.T
	*Evaluator
	mu        sync.Mutex
	clock     time.Time
	versions  []dataset.Version
	photos    map[string][]dataset.Photo
	trainings []training.Training
	bucket    blob.Bucket // predictions
	ledger    blob.Bucket
	bus       *busmem.Bus
}

func newWorld(t *testing.T) *world {
	w := &world{T: t, clock: now, photos: map[string][]dataset.Photo{}, bucket: blobmem.New("predictions"), ledger: blobmem.New("ledger"), bus: &busmem.Bus{}}
	w.Evaluator = NewEvaluator(DefaultPolicy(), w.bucket, w.ledger, w, w, w.bus, w.now)
	return w
}

func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.clock
}

func (w *world) Current(context.Context) (dataset.Version, error) {
	if len(w.versions) == 0 {
		return dataset.Version{}, errs.NotFound
	}
	return w.versions[len(w.versions)-1], nil
}

func (w *world) Load(_ context.Context, id string) (dataset.Version, error) {
	for _, v := range w.versions {
		if v.ID == id {
			return v, nil
		}
	}
	return dataset.Version{}, errs.NotFound
}

func (w *world) Photos(_ context.Context, id string) ([]dataset.Photo, error) {
	return w.photos[id], nil
}

func (w *world) Trainings(context.Context) ([]training.Training, error) {
	return slices.Clone(w.trainings), nil
}

// drop adds a version of n photos, one box each; the first photos are those of
// the versions before.
func (w *world) drop(id string, n int) dataset.Version {
	v := dataset.Version{ID: id, Sequence: int64(len(w.versions) + 1), Classes: []string{"can"}}
	w.versions = append(w.versions, v)
	for i := range n {
		w.photos[id] = append(w.photos[id], photo(fmt.Sprint(i), dataset.Box{X: 1, W: 2, H: 3}))
	}
	return v
}

// train begins the training that the newest train or retrain event asks for.
func (w *world) train(state training.State) {
	w.Helper()
	for _, m := range slices.Backward(w.bus.Messages()) {
		var d event.TrainData
		if m.Topic != bus.Train && m.Topic != bus.Retrain {
			continue
		}
		if err := m.Event.Into(m.Event.Type, &d); err != nil {
			w.Fatal(err)
		}
		w.trainings = append(w.trainings, training.Training{Run: "run-" + d.Ledger, Dataset: d.Dataset, Ledger: d.Ledger, Started: w.now(), State: state})
		return
	}
	w.Fatal("no training was asked for")
}

func (w *world) end(state training.State) { w.trainings[len(w.trainings)-1].State = state }

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.clock = w.clock.Add(d)
}

func (w *world) check(outcome drift.Outcome, version string) drift.Summary {
	id := fmt.Sprintf("report-%d", w.now().Unix())
	return drift.Summary{ID: id, Created: w.now(), Model: "litter", ModelVersion: version,
		Verdict: drift.Verdict{Outcome: outcome, Reason: "It changed."}, HTML: "gs://predictions/reports/" + id + "/report.html", ToLabel: "gs://predictions/reports/" + id + "/to-label.json", ToLabelCount: 60}
}

// topics of what was published, in order.
func (w *world) topics() (out []string) {
	for _, m := range w.bus.Messages() {
		out = append(out, m.Topic)
	}
	return out
}

func (w *world) want(d Decision, err error, outcome Outcome, reasons ...string) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
	if d.Outcome != outcome || !slices.Equal(d.Reasons, reasons) {
		w.Errorf("decision %s %v, want %s %v", d.Outcome, d.Reasons, outcome, reasons)
	}
	e, err := ReadEntry(w.Context(), w.ledger, d.Ledger)
	if err != nil {
		w.Fatal("every decision leaves an entry: ", err)
	}
	if diff := cmp.Diff(Decide(e.Policy, e.Inputs), Decision{Outcome: d.Outcome, Trigger: d.Trigger, Reasons: d.Reasons, AskForLabels: d.AskForLabels}); diff != "" {
		w.Errorf("entry does not replay (-replayed +decided):\n%s", diff)
	}
}

func (w *world) entries() (n int) {
	w.Helper()
	for _, err := range w.ledger.List(w.Context(), LedgerDir) {
		if err != nil {
			w.Fatal(err)
		}
		n++
	}
	return n
}

// TestEvaluator_theLoop goes through what the demo shows: a first version
// trains, a small second one waits, drift fires it.
func TestEvaluator_theLoop(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	d, err := w.Validated(ctx, w.drop("d1", 100))
	w.want(d, err, Fired, First)
	w.train(training.Running)
	w.pass(2 * time.Hour)
	w.end(training.Registered)
	d, err = w.Reconsider(ctx)
	w.want(d, err, Held, NoNewLabels)

	d, err = w.Validated(ctx, w.drop("d2", 110))
	w.want(d, err, Held, TooFewNewLabels)
	d, err = w.Drifted(ctx, w.check(drift.Stable, "1"))
	w.want(d, err, Held, TooFewNewLabels)
	w.pass(time.Hour)
	d, err = w.Drifted(ctx, w.check(drift.Drifted, "1"))
	w.want(d, err, Fired, NewLabels, DriftOpen)
	if d.Trigger != TriggerDrift {
		t.Errorf("trigger %q", d.Trigger)
	}
	w.train(training.Running)
	w.pass(time.Hour)
	w.end(training.Registered)
	d, err = w.Reconsider(ctx)
	w.want(d, err, Held, NoNewLabels)
	if d.Trigger != TriggerValidated {
		t.Error("drift stays open after a training answered it")
	}
	if diff := cmp.Diff([]string{bus.Train, bus.Retrain, bus.Alerts}, w.topics()); diff != "" {
		t.Errorf("published (-want +got):\n%s", diff)
	}
}

func TestEvaluator_driftWithoutLabelsAsksOnceAndStaysOpen(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	_, err := w.Validated(ctx, w.drop("d1", 100))
	if err != nil {
		t.Fatal(err)
	}
	w.train(training.Running)
	w.end(training.Registered)
	for range 3 { // every day until someone labels
		w.pass(24 * time.Hour)
		d, err := w.Drifted(ctx, w.check(drift.Drifted, "1"))
		w.want(d, err, Held, NoNewLabels)
	}
	if diff := cmp.Diff([]string{bus.Train, bus.Alerts}, w.topics()); diff != "" {
		t.Errorf("published (-want +got):\n%s", diff)
	}
	var a event.AlertData
	if err := w.bus.Messages()[1].Event.Into(event.Alert, &a); err != nil || a.Code != AlertLabelsNeeded || a.Links["to_label"] == "" {
		t.Errorf("alert %+v: %v", a, err)
	}
	d, err := w.Validated(ctx, w.drop("d2", 101))
	w.want(d, err, Fired, NewLabels, DriftOpen)
	w.train(training.Running)
	w.pass(24 * time.Hour)
	d, err = w.Drifted(ctx, w.check(drift.Drifted, "1"))
	w.want(d, err, Held, NoNewLabels, InFlight)
	if d.AskForLabels {
		t.Error("asks for labels while a training on the new ones runs")
	}
	if diff := cmp.Diff([]string{bus.Train, bus.Alerts, bus.Retrain, bus.Alerts}, w.topics()); diff != "" {
		t.Errorf("published (-want +got):\n%s", diff)
	}
}

// A version without a history of its own is doubted before it is believed: its
// reference knows no weekend.
func TestEvaluator_youngVersionsNeedChecksInARow(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	w.drop("d1", 100)
	w.trainings = []training.Training{{Run: "r0", Dataset: "d1", Started: now.AddDate(0, -2, 0), State: training.Registered}}
	w.drop("d2", 105)
	day := now
	check := func(outcome drift.Outcome, source drift.Source, days int) (Decision, error) {
		day = day.AddDate(0, 0, days)
		w.pass(time.Hour)
		s := w.check(outcome, "1")
		s.Reference.Source, s.Window = source, drift.Window{From: day.AddDate(0, 0, -1), To: day}
		return w.Drifted(ctx, s)
	}
	for _, c := range []struct {
		says    string
		outcome drift.Outcome
		days    int // since the check before
		against []string
	}{
		{"a Saturday", drift.Drifted, 1, []string{TooFewNewLabels, Unconfirmed}},
		{"a Sunday", drift.Drifted, 1, []string{TooFewNewLabels, Unconfirmed}},
		{"asked again of the same photos", drift.Drifted, 0, []string{TooFewNewLabels, Unconfirmed}},
		{"a Monday", drift.Stable, 1, []string{TooFewNewLabels}},
		{"a change that stays", drift.Drifted, 1, []string{TooFewNewLabels, Unconfirmed}},
		{"its second day", drift.Drifted, 1, []string{TooFewNewLabels, Unconfirmed}},
		{"too few photos to tell", drift.Insufficient, 1, []string{TooFewNewLabels, Unconfirmed}},
	} {
		t.Log(c.says)
		d, err := check(c.outcome, drift.Package, c.days)
		w.want(d, err, Held, c.against...)
	}
	if got := w.topics(); len(got) > 0 {
		t.Errorf("published %v of what is not believed yet", got)
	}
	d, err := check(drift.Drifted, drift.Package, 1)
	w.want(d, err, Fired, NewLabels, DriftOpen)
}

func TestEvaluator_aHistoryIsBelievedAtOnce(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	w.drop("d1", 100)
	w.trainings = []training.Training{{Run: "r0", Dataset: "d1", Started: now.AddDate(0, -2, 0), State: training.Registered}}
	w.drop("d2", 105)
	s := w.check(drift.Drifted, "1")
	s.Reference.Source = drift.History
	d, err := w.Drifted(ctx, s)
	w.want(d, err, Fired, NewLabels, DriftOpen)
}

func TestEvaluator_aFailedTrainingAnswersNothing(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	d, err := w.Validated(ctx, w.drop("d1", 100))
	w.want(d, err, Fired, First)
	w.train(training.Running)
	w.pass(2 * time.Hour)
	w.end(training.Failed)
	d, err = w.Reconsider(ctx)
	w.want(d, err, Held, FailedBefore)
	d, err = w.Validated(ctx, w.drop("d2", 101))
	w.want(d, err, Fired, First) // nothing has succeeded: all labels are new
}

func TestEvaluator_heldInFlightIsReconsidered(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	d, err := w.Validated(ctx, w.drop("d1", 100))
	w.want(d, err, Fired, First)
	d, err = w.Validated(ctx, w.drop("d2", 200))
	w.want(d, err, Held, Requested) // asked for, not begun
	w.train(training.Running)
	d, err = w.Validated(ctx, w.drop("d3", 300))
	w.want(d, err, Held, InFlight, Cooldown)
	w.pass(2 * time.Hour)
	w.end(training.Registered)
	d, err = w.Reconsider(ctx)
	w.want(d, err, Fired, EnoughLabels)
}

func TestEvaluator_anOlderVersionLaterIsTheNewer(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	old := w.drop("d1", 100)
	w.drop("d2", 150)
	d, err := w.Validated(ctx, old)
	w.want(d, err, Fired, First)
	e, err := ReadEntry(ctx, w.ledger, d.Ledger)
	if err != nil || e.Inputs.Dataset != "d2" {
		t.Errorf("trains on %q (%v), want the newest, d2", e.Inputs.Dataset, err)
	}
}

func TestEvaluator_repeatedEventsAreOneEntryAndOneEvent(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	v := w.drop("d1", 100)
	var first Decision
	for i := range 3 {
		d, err := w.Validated(ctx, v)
		w.want(d, err, Fired, First)
		if i == 0 {
			first = d
		} else if d.Ledger != first.Ledger {
			t.Errorf("repetition %d has entry %s, the first %s", i, d.Ledger, first.Ledger)
		}
		w.pass(time.Minute)
	}
	if n := len(w.topics()); n != 1 || w.entries() != 1 {
		t.Errorf("%d events and %d entries, want 1 and 1", n, w.entries())
	}
	w.train(training.Running)
	for range 3 {
		d, err := w.Validated(ctx, v)
		w.want(d, err, Held, NoNewLabels, InFlight, Cooldown)
		w.pass(time.Minute)
	}
	if n := len(w.topics()); n != 1 || w.entries() != 2 {
		t.Errorf("%d events and %d entries, want 1 and 2", n, w.entries())
	}
}

// TestEvaluator_crashAnywhere fails each write and each publish in turn; the
// redelivery must end as if nothing had failed.
func TestEvaluator_crashAnywhere(t *testing.T) {
	for fail := range 6 {
		t.Run(fmt.Sprintf("operation %d fails", fail), func(t *testing.T) {
			w, ctx := newWorld(t), t.Context()
			w.drop("d1", 100)
			w.trainings = []training.Training{{Run: "r0", Dataset: "d1", Started: now.AddDate(0, -2, 0), State: training.Registered}}
			w.drop("d2", 105)
			count, broken := 0, errors.New("crash")
			crash := func() error {
				count++
				if count == fail+1 {
					return broken
				}
				return nil
			}
			w.bus.Fail = func(string) error { return crash() }
			w.Evaluator.bucket, w.Evaluator.ledger = failing{w.bucket, crash}, failing{w.ledger, crash}
			check := w.check(drift.Drifted, "1")
			_, err := w.Drifted(ctx, check)
			if err != nil && !errors.Is(err, broken) {
				t.Fatal(err)
			}
			d, err := w.Drifted(ctx, check) // the redelivery
			if err != nil {
				t.Fatal(err)
			}
			if d.Outcome != Fired {
				t.Errorf("after a crash: %s %v", d.Outcome, d.Reasons)
			}
			ids := map[string]bool{}
			for _, m := range w.bus.Messages() {
				ids[m.Topic+m.Event.ID] = true
			}
			if len(ids) != 2 || w.entries() != 1 {
				t.Errorf("%d distinct events (%v) and %d entries, want a retrain and an alert, and 1", len(ids), w.topics(), w.entries())
			}
		})
	}
}

// failing is a bucket whose writes fail when crash says so.
type failing struct {
	blob.Bucket
	crash func() error
}

func (f failing) Write(ctx context.Context, name string, r io.Reader, o blob.WriteOptions) (blob.Attrs, error) {
	if err := f.crash(); err != nil {
		return blob.Attrs{}, err
	}
	return f.Bucket.Write(ctx, name, r, o)
}

func TestEvaluator_manyAtOnceFireOnce(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	v := w.drop("d1", 100)
	var wg sync.WaitGroup
	for i := range 12 {
		wg.Go(func() {
			var err error
			switch i % 3 {
			case 0:
				_, err = w.Validated(ctx, v)
			case 1:
				_, err = w.Drifted(ctx, w.check(drift.Drifted, "1"))
			default:
				_, err = w.Reconsider(ctx)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	ids := map[string]bool{}
	for _, m := range w.bus.Messages() {
		if m.Topic != bus.Alerts {
			ids[m.Event.ID] = true
		}
	}
	if len(ids) != 1 {
		t.Errorf("%d trainings were asked for (%v), want 1", len(ids), w.topics())
	}
}

func TestEvaluator_stableLaterVersionClosesDrift(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	w.drop("d1", 100)
	w.trainings = []training.Training{{Run: "r0", Dataset: "d1", Started: now.AddDate(0, -2, 0), State: training.Registered}}
	d, err := w.Drifted(ctx, w.check(drift.Drifted, "1"))
	w.want(d, err, Held, NoNewLabels)
	w.pass(time.Hour)
	d, err = w.Drifted(ctx, w.check(drift.Stable, "1"))
	w.want(d, err, Held, NoNewLabels)
	if !d.AskForLabels {
		t.Error("a quiet day of the same version closed the drift")
	}
	w.pass(time.Hour)
	d, err = w.Drifted(ctx, w.check(drift.Stable, "2"))
	w.want(d, err, Held, NoNewLabels)
	if d.AskForLabels {
		t.Error("a stable later version left the drift open")
	}
}
