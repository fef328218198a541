package job_test

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/litterloop/litterloop/functions/register"
	"github.com/litterloop/litterloop/functions/train"
	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/blob/blobmem"
	"github.com/litterloop/litterloop/shared/bus"
	"github.com/litterloop/litterloop/shared/dataset"
	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/event"
	platform "github.com/litterloop/litterloop/shared/job"
	"github.com/litterloop/litterloop/shared/modelpackage"
	"github.com/litterloop/litterloop/shared/registry"
	"github.com/litterloop/litterloop/shared/registry/gate"
	"github.com/litterloop/litterloop/shared/tracking"
	"github.com/litterloop/litterloop/shared/training"
	"github.com/litterloop/litterloop/shared/training/job"
)

// errKilled is what every operation of a killed process answers.
var errKilled = fmt.Errorf("killed: %w", errs.Unavailable)

// process is one invocation of a function or one execution of a job: it dies at
// the operation that faults choose, and nothing it does afterwards happens.
type process struct{ dead bool }

type processKey struct{}

// faults decide, for each operation of the world, whether the process that does
// it dies right before or right after.
type faults struct {
	mu         sync.Mutex
	operations int
	before     func(n int) bool
	after      func(n int) bool
}

func (f *faults) do(ctx context.Context, effect func()) error {
	p, _ := ctx.Value(processKey{}).(*process)
	if p == nil { // a hook that has no process: the world itself
		effect()
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.operations++
	n := f.operations
	if p.dead || f.before(n) {
		p.dead = true
		return errKilled
	}
	effect()
	if f.after(n) {
		p.dead = true
		return errKilled
	}
	return nil
}

// bucket is a bucket whose every operation may kill its process.
type bucket struct {
	*blobmem.Bucket
	faults *faults
}

func (b bucket) Open(ctx context.Context, name string, offset, length int64) (r io.ReadCloser, a blob.Attrs, err error) {
	killed := b.faults.do(ctx, func() { r, a, err = b.Bucket.Open(ctx, name, offset, length) })
	return r, a, errors.Join(killed, err)
}

func (b bucket) Stat(ctx context.Context, name string) (a blob.Attrs, err error) {
	killed := b.faults.do(ctx, func() { a, err = b.Bucket.Stat(ctx, name) })
	return a, errors.Join(killed, err)
}

func (b bucket) Write(ctx context.Context, name string, r io.Reader, o blob.WriteOptions) (a blob.Attrs, err error) {
	killed := b.faults.do(ctx, func() { a, err = b.Bucket.Write(ctx, name, r, o) })
	return a, errors.Join(killed, err)
}

func (b bucket) Delete(ctx context.Context, name string, generation int64) (err error) {
	killed := b.faults.do(ctx, func() { err = b.Bucket.Delete(ctx, name, generation) })
	return errors.Join(killed, err)
}

func (b bucket) List(ctx context.Context, prefix string) iter.Seq2[blob.Attrs, error] {
	if err := b.faults.do(ctx, func() {}); err != nil {
		return func(yield func(blob.Attrs, error) bool) { yield(blob.Attrs{}, err) }
	}
	return b.Bucket.List(ctx, prefix)
}

type execution struct {
	spec     platform.Spec
	attempts int
	state    platform.State
}

// world is the loop from train to register on faulty ground. Messages and
// executions wait until run delivers them, in any order.
type world struct {
	t                *testing.T
	faults           *faults
	models, datasets bucket
	now              time.Time
	queue            []message
	executions       []*execution
	reconsidered     int
	order            *rand.Rand // nil: first in, first out

	registry *registry.Registry
	runs     *tracking.Store
	book     *training.Book
	train    *train.Function
	register *register.Function
	trainer  *fakeTrainer
	deployed map[int]int // deliveries of deploy events by version
	alerts   map[string]string
}

type message struct {
	topic string
	event event.Event
}

func newWorld(t *testing.T) *world {
	never := func(int) bool { return false }
	f := &faults{before: never, after: never}
	w := &world{
		t: t, faults: f, now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC),
		models: bucket{blobmem.New("models"), f}, datasets: bucket{blobmem.New("datasets"), f},
		deployed: map[int]int{}, alerts: map[string]string{},
	}
	clock := func() time.Time { return w.now }
	log := slog.New(slog.DiscardHandler)
	w.registry = registry.New(w.models, clock)
	w.runs = tracking.New(w.models, clock)
	w.book = training.NewBook(w.models, clock)
	w.trainer = &fakeTrainer{}
	supervisor := training.NewSupervisor(w.book, w, "trainer", training.DefaultPolicy(), clock)
	w.train = train.New(w.book, supervisor, w, json.RawMessage(`{"steps": 60, "width": 8}`), clock, log)
	w.register = register.New(register.Deps{
		Model: "litter", Models: w.models, Registry: w.registry, Runs: w.runs, Book: w.book, Supervisor: supervisor,
		Gate:       gate.DefaultPolicy(),
		Current:    func(ctx context.Context) (dataset.Version, error) { return dataset.Current(ctx, w.datasets) },
		Reconsider: func(context.Context) error { w.reconsidered++; return nil },
		Bus:        w, Now: clock, Log: log,
	})
	return w
}

// Publish implements bus.Publisher.
func (w *world) Publish(ctx context.Context, topic string, e event.Event) error {
	return w.faults.do(ctx, func() { w.queue = append(w.queue, message{topic, e}) })
}

// Start implements job.Launcher.
func (w *world) Start(ctx context.Context, s platform.Spec) (name string, err error) {
	err = w.faults.do(ctx, func() {
		w.executions = append(w.executions, &execution{spec: s, state: platform.Running})
		name = fmt.Sprintf("trainer-%d", len(w.executions))
	})
	return name, err
}

// Find implements job.Launcher.
func (w *world) Find(ctx context.Context, s platform.Spec) (name string, err error) {
	err = w.faults.do(ctx, func() {
		for i, x := range w.executions {
			if x.spec.ID == s.ID {
				name = fmt.Sprintf("trainer-%d", i+1)
			}
		}
	})
	if err == nil && name == "" {
		err = errs.NotFound
	}
	return name, err
}

// State implements job.Launcher.
func (w *world) State(ctx context.Context, name string) (s platform.State, detail string, err error) {
	err = w.faults.do(ctx, func() {
		var n int
		if _, err := fmt.Sscanf(name, "trainer-%d", &n); err != nil || n > len(w.executions) {
			s = platform.Lost
			return
		}
		s, detail = w.executions[n-1].state, "exit status 1"
	})
	return s, detail, err
}

// Cancel implements job.Launcher.
func (w *world) Cancel(context.Context, string) error { return nil }

// version stores a data set version and makes it the current one. Its photos'
// bytes say what is on them.
func (w *world) version(id string, sequence int64) {
	w.t.Helper()
	ctx := w.t.Context()
	v := dataset.Version{Schema: 1, ID: id, Sequence: sequence, Classes: []string{"can", "bottle"}}
	var lines bytes.Buffer
	for i := range 4 {
		photo := fmt.Appendf(nil, "photo %d of %s", i, id)
		sum := md5.Sum(photo)
		p := dataset.Photo{
			Path: fmt.Sprintf("images/val/%d.jpg", i), MD5: hex.EncodeToString(sum[:]), Size: int64(len(photo)),
			Split: dataset.Val, Boxes: []dataset.Box{{Class: i % 2, X: 10, Y: 10, W: 20, H: 20}},
		}
		if i >= 2 {
			p.Split, p.Path = dataset.Train, fmt.Sprintf("images/train/%d.jpg", i)
		}
		if _, err := w.datasets.Bucket.Write(ctx, dataset.ContentObject(p.MD5), bytes.NewReader(photo), blob.WriteOptions{IfGeneration: blob.Any}); err != nil {
			w.t.Fatal(err)
		}
		if err := json.NewEncoder(&lines).Encode(p); err != nil {
			w.t.Fatal(err)
		}
	}
	_, err := w.datasets.Bucket.Write(ctx, dataset.VersionObject(id, dataset.PhotosFile), &lines, blob.WriteOptions{IfGeneration: blob.Any})
	if err == nil {
		_, err = blob.WriteJSON(ctx, w.datasets.Bucket, dataset.VersionObject(id, dataset.SummaryFile), v, blob.Any)
	}
	if err == nil {
		err = dataset.Pass(ctx, w.datasets.Bucket, v, w.now)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// ask publishes a train event.
func (w *world) ask(id, trigger string) {
	w.t.Helper()
	e, err := event.New(event.Train, w.now, event.TrainData{Dataset: id, Trigger: trigger}, id, trigger)
	if err != nil {
		w.t.Fatal(err)
	}
	w.queue = append(w.queue, message{bus.Train, e})
}

// run delivers what waits until nothing does and no training is in flight.
func (w *world) run() {
	w.t.Helper()
	for range 10_000 {
		w.now = w.now.Add(6 * time.Second)
		switch {
		case len(w.queue) > 0 && (w.order == nil || w.order.IntN(2) == 0 || w.runnable() == nil):
			i := 0
			if w.order != nil {
				i = w.order.IntN(len(w.queue))
			}
			m := w.queue[i]
			w.queue = slices.Delete(w.queue, i, i+1)
			w.deliver(m)
		case w.runnable() != nil:
			w.execute(w.runnable())
		default:
			if _, err := w.book.Current(w.t.Context()); errors.Is(err, errs.NotFound) {
				return
			}
			// The schedule's tick.
			if err := w.train.Check(w.process()); err != nil && !errors.Is(err, errs.Unavailable) {
				w.t.Fatalf("check: %v", err)
			}
		}
	}
	w.t.Fatal("the loop never comes to rest")
}

func (w *world) process() context.Context {
	return context.WithValue(w.t.Context(), processKey{}, &process{})
}

func (w *world) deliver(m message) {
	w.t.Helper()
	ctx := w.process()
	var err error
	switch m.topic {
	case bus.Train, bus.Retrain:
		err = w.train.Handle(ctx, m.event)
	case bus.Register:
		err = w.register.Handle(ctx, m.event)
	case bus.Deploy:
		var d event.DeployData
		if err := json.Unmarshal(m.event.Data, &d); err != nil {
			w.t.Fatal(err)
		}
		w.deployed[d.Version]++
		if err := w.registry.SetAlias(w.t.Context(), d.Model, registry.Staging, d.Version, "deploy", "took all traffic"); err != nil {
			w.t.Fatal(err)
		}
	case bus.Alerts:
		var a event.AlertData
		if err := json.Unmarshal(m.event.Data, &a); err != nil {
			w.t.Fatal(err)
		}
		w.alerts[m.event.ID] = a.Code
	}
	if _, permanent := errs.Reason(err); permanent {
		w.t.Errorf("%s event %s: %v", m.topic, m.event.Data, err)
	} else if err != nil {
		w.queue = append(w.queue, m)
	}
}

func (w *world) runnable() *execution {
	for _, x := range w.executions {
		if x.state == platform.Running {
			return x
		}
	}
	return nil
}

func (w *world) execute(x *execution) {
	x.attempts++
	name := fmt.Sprintf("trainer-%d", slices.Index(w.executions, x)+1)
	err := job.Run(w.process(), x.spec.Args, job.Deps{
		Model: "litter", Models: w.models, Datasets: w.datasets, Book: w.book, Runs: w.runs, Registry: w.registry,
		Bus: w, Trainer: w.trainer, Open: openFake, Score: scoreFake, Report: reportFake, Code: "test",
		Execution: name, Now: func() time.Time { return w.now }, Log: slog.New(slog.DiscardHandler),
	})
	switch {
	case err == nil:
		x.state = platform.Succeeded
	case x.attempts == 2: // the platform's own retries
		x.state = platform.Failed
	}
}

// summary is what must not depend on faults, duplicates and order.
func (w *world) summary() string {
	w.t.Helper()
	ctx := w.t.Context()
	var s strings.Builder
	versions, err := w.registry.List(ctx, "litter")
	if err != nil {
		w.t.Fatal(err)
	}
	for _, v := range versions {
		p, err := modelpackage.Load(ctx, w.models, v.Package)
		if err == nil {
			err = p.Verify(ctx)
		}
		if err != nil {
			w.t.Errorf("package of version %d: %v", v.Version, err)
		}
		fmt.Fprintf(&s, "version %d of run %s on %s from %q gate %v against %d\n", v.Version, v.Run[:4], v.Dataset, short(p.Card.StartedFrom), v.Gate != nil && v.Gate.Passed, v.Gate.Against)
	}
	aliases, err := w.registry.Aliases(ctx, "litter")
	if err != nil {
		w.t.Fatal(err)
	}
	moves, err := w.registry.History(ctx, "litter")
	if err != nil && len(versions) > 0 {
		w.t.Fatal(err)
	}
	fmt.Fprintf(&s, "aliases %v after %d moves\n", aliases, len(moves))
	trainings, err := w.book.Trainings(ctx)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, x := range trainings {
		r, err := w.runs.Run(ctx, x.Run)
		if err != nil {
			w.t.Fatal(err)
		}
		points, err := w.runs.Metrics(ctx, x.Run)
		if err != nil {
			w.t.Fatal(err)
		}
		fmt.Fprintf(&s, "training %s on %s %s %q version %d, run %s with loss at %v\n", x.Run[:4], x.Dataset, x.State, x.Failure, x.Version, r.Status, steps(points, "train/box_loss"))
	}
	deployed := []int{}
	for v := range w.deployed {
		deployed = append(deployed, v)
	}
	slices.Sort(deployed)
	fmt.Fprintf(&s, "deployed %v\n", deployed)
	codes := []string{}
	for _, c := range w.alerts {
		codes = append(codes, c)
	}
	slices.Sort(codes)
	fmt.Fprintf(&s, "alerts %v\n", codes)
	return s.String()
}

func short(run string) string { return run[:min(4, len(run))] }

func steps(points []tracking.Metric, key string) (at []int64) {
	for _, p := range points {
		if p.Key == key {
			at = append(at, p.Step)
		}
	}
	return slices.Compact(at)
}
