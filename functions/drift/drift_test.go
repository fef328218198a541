package drift_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/litterloop/litterloop/functions/drift"
	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/blob/blobmem"
	"github.com/litterloop/litterloop/shared/bus"
	"github.com/litterloop/litterloop/shared/bus/busmem"
	"github.com/litterloop/litterloop/shared/dataset"
	shareddrift "github.com/litterloop/litterloop/shared/drift"
	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/event"
	"github.com/litterloop/litterloop/shared/modelpackage"
	"github.com/litterloop/litterloop/shared/predictionlog"
	"github.com/litterloop/litterloop/shared/registry"
	"github.com/litterloop/litterloop/shared/retrain"
	"github.com/litterloop/litterloop/shared/training"
)

var noon = time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)

// world is a deployment in memory: version 1 was trained on data set d1, and d2
// with one photo more has passed since.
type world struct {
	*testing.T
	predictions, models blob.Bucket
	registry            *registry.Registry
	bus                 *busmem.Bus
	function            *drift.Function
	rng                 *rand.Rand
}

func newWorld(t *testing.T) *world {
	w := &world{T: t, predictions: blobmem.New("predictions"), models: blobmem.New("models"), bus: &busmem.Bus{}, rng: rand.New(rand.NewPCG(1, 1))}
	clock := func() time.Time { return noon }
	w.registry = registry.New(w.models, func() time.Time { return noon.AddDate(0, 0, -2) })
	checker := shareddrift.NewChecker(shareddrift.DefaultPolicy(), "litter", w.registry, w.models, w.predictions, clock)
	policy := retrain.DefaultPolicy()
	policy.FirstChecks = 1
	evaluator := retrain.NewEvaluator(policy, w.predictions, w.predictions, datasets{}, trainings{}, w.bus, clock)
	w.function = drift.New(checker, evaluator, w.predictions, w.bus, clock, slog.New(slog.DiscardHandler))
	return w
}

func (w *world) deploy() {
	w.Helper()
	v, err := w.registry.Create(w.Context(), registry.Version{Model: "litter", Run: "r1", Package: "runs/r1/", Dataset: "d1"})
	if err != nil {
		w.Fatal(err)
	}
	if err := w.registry.SetAlias(w.Context(), "litter", shareddrift.ServingAlias, v.Version, "test", "it serves"); err != nil {
		w.Fatal(err)
	}
	w.write(w.models, "runs/r1/"+modelpackage.ReferenceFile, w.photos(40, 120, noon.AddDate(0, 0, -2)))
}

// photos draws n photos of that mean brightness.
func (w *world) photos(n int, brightness float64, from time.Time) (rows []predictionlog.Row) {
	for i := range n {
		c := 0.5 + 0.4*w.rng.Float32()
		rows = append(rows, predictionlog.Row{
			ID: fmt.Sprintf("%x", w.rng.Uint64()), TimeMicros: from.Add(time.Duration(i) * time.Second).UnixMicro(), Model: "litter", ModelVersion: "1",
			Width: 640, Height: 480, Brightness: float32(brightness + 20*w.rng.NormFloat64()), Contrast: float32(brightness/3 + 5*w.rng.NormFloat64()), Sharpness: float32(brightness + 10*w.rng.NormFloat64()),
			Boxes: []predictionlog.Box{{Class: "can", Confidence: c, X1: 10, Y1: 10, X2: 100 * c, Y2: 90}},
		})
	}
	return rows
}

func (w *world) write(b blob.Bucket, name string, rows []predictionlog.Row) {
	w.Helper()
	var p bytes.Buffer
	if err := predictionlog.WriteFile(&p, rows); err != nil {
		w.Fatal(err)
	}
	if _, err := b.Write(w.Context(), name, &p, blob.WriteOptions{IfGeneration: blob.Any}); err != nil {
		w.Fatal(err)
	}
}

func (w *world) log(rows []predictionlog.Row) {
	w.write(w.predictions, predictionlog.Dir(time.UnixMicro(rows[0].TimeMicros))+rows[0].ID+".parquet", rows)
}

// post sends a request and returns its status and answer.
func (w *world) post(body string, header ...string) (int, drift.Answer) {
	w.Helper()
	r := httptest.NewRequestWithContext(w.Context(), http.MethodPost, "/", strings.NewReader(body))
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	rec := httptest.NewRecorder()
	w.function.ServeHTTP(rec, r)
	var a drift.Answer
	if rec.Body.Len() > 0 {
		_ = json.Unmarshal(rec.Body.Bytes(), &a)
	}
	return rec.Code, a
}

func (w *world) reports() (n int) {
	for a, err := range w.predictions.List(w.Context(), "reports/") {
		if err == nil && strings.HasSuffix(a.Name, "/report.json") {
			n++
		}
	}
	return n
}

type datasets struct{}

func (datasets) Current(context.Context) (dataset.Version, error) {
	return dataset.Version{ID: "d2", Sequence: 2}, nil
}

func (datasets) Load(_ context.Context, id string) (dataset.Version, error) {
	return dataset.Version{ID: id}, nil
}

func (datasets) Photos(_ context.Context, id string) (photos []dataset.Photo, _ error) {
	n := 100
	if id == "d2" {
		n++
	}
	for i := range n {
		photos = append(photos, dataset.Photo{MD5: fmt.Sprint(i), Split: dataset.Train, Boxes: []dataset.Box{{W: 1, H: 1}}})
	}
	return photos, nil
}

type trainings struct{}

func (trainings) Trainings(context.Context) ([]training.Training, error) {
	return []training.Training{{Run: "r1", Dataset: "d1", Started: noon.AddDate(0, 0, -3), State: training.Registered}}, nil
}

func TestServeHTTP_driftFiresOnceHoweverOftenItIsCalled(t *testing.T) {
	w := newWorld(t)
	w.deploy()
	w.log(w.photos(60, 60, noon.Add(-time.Hour)))
	var first drift.Answer
	for i := range 3 {
		// A repetition of the call, another call with nothing new, and one that
		// names its own time.
		body := []string{"", "{}", `{"time":"2026-11-02T12:30:00Z"}`}[i]
		status, a := w.post(body, "X-CloudScheduler-ScheduleTime", noon.Format(time.RFC3339))
		if status != http.StatusOK || a.Outcome != shareddrift.Drifted || a.Decision.Outcome != retrain.Fired {
			t.Fatalf("call %d: %d, %+v", i, status, a)
		}
		if i == 0 {
			first = a
		} else if a.Report != first.Report || a.Ledger != first.Ledger {
			t.Errorf("call %d made report %s and entry %s, the first %s and %s", i, a.Report, a.Ledger, first.Report, first.Ledger)
		}
	}
	topics := map[string]int{}
	for _, m := range w.bus.Messages() {
		topics[m.Topic]++
	}
	if topics[bus.Retrain] != 1 || topics[bus.Alerts] != 1 || w.reports() != 1 {
		t.Errorf("%v published and %d reports, want one of each", topics, w.reports())
	}
	if !strings.HasPrefix(first.Report, "gs://predictions/reports/20261102T120000Z-") {
		t.Errorf("report at %s", first.Report)
	}
}

func TestServeHTTP_stable(t *testing.T) {
	w := newWorld(t)
	w.deploy()
	w.log(w.photos(60, 120, noon.Add(-time.Hour)))
	if status, a := w.post(""); status != http.StatusOK || a.Outcome != shareddrift.Stable || a.Decision.Outcome != retrain.Held {
		t.Errorf("%d, %+v", status, a)
	}
	if n := len(w.bus.Messages()); n != 0 {
		t.Errorf("%d events published, want none", n)
	}
}

func TestServeHTTP_newPhotosMakeANewReport(t *testing.T) {
	w := newWorld(t)
	w.deploy()
	w.log(w.photos(40, 120, noon.Add(-time.Hour)))
	_, before := w.post("")
	w.log(w.photos(40, 60, noon.Add(-time.Minute)))
	_, after := w.post(`{"time":"2026-11-02T12:05:00Z"}`)
	if before.Report == after.Report || before.Outcome != shareddrift.Stable || after.Outcome != shareddrift.Drifted {
		t.Errorf("before: %s %s; after: %s %s", before.Outcome, before.Report, after.Outcome, after.Report)
	}
}

func TestServeHTTP_nothingServesYet(t *testing.T) {
	w := newWorld(t)
	if status, _ := w.post(""); status != http.StatusOK {
		t.Errorf("status %d: the Scheduler would repeat what only a deployment mends", status)
	}
}

// What waits is decided on whether or not a model serves: version d2 has a label
// more.
func TestServeHTTP_decidesOnWhatWaits(t *testing.T) {
	for name, serves := range map[string]bool{"nothing serves": false, "a model serves": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if serves {
				w.deploy()
				w.log(w.photos(60, 60, noon.Add(-time.Hour)))
			}
			if status, _ := w.post(""); status != http.StatusOK {
				t.Errorf("status %d", status)
			}
			var decided int
			for _, err := range w.predictions.List(t.Context(), retrain.LedgerDir) {
				if err != nil {
					t.Fatal(err)
				}
				decided++
			}
			if decided != 1 || (w.reports() == 1) != serves {
				t.Errorf("%d decisions, %d reports", decided, w.reports())
			}
		})
	}
}

func TestServeHTTP_badRequests(t *testing.T) {
	w := newWorld(t)
	w.deploy()
	for name, c := range map[string]struct {
		body   string
		header []string
	}{
		"a body that is not JSON": {body: "now"},
		"a time that is none":     {body: `{"time":"noon"}`},
		"a schedule that is none": {header: []string{"X-CloudScheduler-ScheduleTime", "noon"}},
	} {
		if status, _ := w.post(c.body, c.header...); status != http.StatusBadRequest {
			t.Errorf("%s: status %d", name, status)
		}
	}
	rec := httptest.NewRecorder()
	w.function.ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil))
	if rec.Code != http.StatusMethodNotAllowed {
		t.Errorf("GET: status %d", rec.Code)
	}
}

func TestServeHTTP_events(t *testing.T) {
	w := newWorld(t)
	w.deploy()
	w.log(w.photos(60, 60, noon.Add(-time.Hour)))
	push := fmt.Sprintf(`{"message":{"messageId":"1","publishTime":%q,"attributes":{"type":"retrain"},"data":"e30="}}`, noon.Format(time.RFC3339))
	if status, _ := w.post(push); status != http.StatusNoContent {
		t.Errorf("Pub/Sub push: status %d", status)
	}
	if status, _ := w.post("{}", "Ce-Type", "retrain", "Ce-Id", "1", "Ce-Time", noon.Format(time.RFC3339)); status != http.StatusNoContent {
		t.Errorf("CloudEvent: status %d", status)
	}
	if w.reports() != 1 {
		t.Errorf("%d reports, want 1", w.reports())
	}
}

func TestServeHTTP_aFailedPublishIsRepeated(t *testing.T) {
	w := newWorld(t)
	w.deploy()
	w.log(w.photos(60, 60, noon.Add(-time.Hour)))
	w.bus.Fail = func(string) error { return errs.Unavailable }
	if status, _ := w.post(""); status != http.StatusServiceUnavailable {
		t.Errorf("status %d after a failed publish, want 503", status)
	}
	w.bus.Fail = nil
	status, a := w.post("")
	if status != http.StatusOK || a.Decision.Outcome != retrain.Fired || len(w.bus.Messages()) != 2 {
		t.Errorf("repetition: %d, %+v, %d events", status, a.Decision, len(w.bus.Messages()))
	}
}

// TestFunction_tellsOfALogThatIsNotWhole once, however often the window is checked.
func TestFunction_tellsOfALogThatIsNotWhole(t *testing.T) {
	w := newWorld(t)
	s := shareddrift.Summary{ID: "r1", Model: "litter", Log: shareddrift.Log{Missing: []predictionlog.Gap{{Instance: "a", From: 3, To: 4}}, Dropped: 7}}
	predictions := blobmem.New("predictions")
	check := func(s shareddrift.Summary) {
		t.Helper()
		// Each check finds a function that has slept and forgotten.
		f := drift.New(checked{s}, undecided{}, predictions, w.bus, func() time.Time { return noon }, slog.New(slog.DiscardHandler))
		if err := f.Handle(t.Context(), event.Event{Time: noon}); err != nil {
			t.Fatal(err)
		}
	}
	check(shareddrift.Summary{ID: "r0", Model: "litter"}) // whole
	check(s)
	check(s)
	alerts := w.bus.Messages()
	if len(alerts) != 1 || alerts[0].Topic != bus.Alerts || !strings.Contains(string(alerts[0].Event.Data), drift.AlertLogLost) || !strings.Contains(string(alerts[0].Event.Data), "7 photos") {
		t.Errorf("alerts %+v, want one that tells of 7 photos", alerts)
	}
	check(shareddrift.Summary{ID: "r2", Model: "litter"}) // the window has moved on
	s.ID = "r3"
	check(s)
	if n := len(w.bus.Messages()); n != 2 {
		t.Errorf("%d alerts after a loss that came again, want 2", n)
	}
}

// checked is a checker that found this.
type checked struct{ drift shareddrift.Summary }

func (c checked) Check(context.Context, time.Time) (*shareddrift.Report, shareddrift.Summary, error) {
	return nil, c.drift, nil
}

// undecided decides nothing.
type undecided struct{}

func (undecided) Drifted(context.Context, shareddrift.Summary) (retrain.Decision, error) {
	return retrain.Decision{}, nil
}

func (undecided) Reconsider(context.Context) (retrain.Decision, error) {
	return retrain.Decision{}, nil
}
