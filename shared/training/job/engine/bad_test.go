package engine_test

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/litterloop/litterloop/functions/register"
	"github.com/litterloop/litterloop/functions/train"
	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/blob/blobmem"
	"github.com/litterloop/litterloop/shared/bus"
	"github.com/litterloop/litterloop/shared/bus/busmem"
	"github.com/litterloop/litterloop/shared/dataset"
	"github.com/litterloop/litterloop/shared/drawing"
	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/event"
	platform "github.com/litterloop/litterloop/shared/job"
	"github.com/litterloop/litterloop/shared/onnxruntime"
	"github.com/litterloop/litterloop/shared/registry"
	"github.com/litterloop/litterloop/shared/registry/gate"
	"github.com/litterloop/litterloop/shared/tracking"
	"github.com/litterloop/litterloop/shared/training"
	"github.com/litterloop/litterloop/shared/training/embedded"
	"github.com/litterloop/litterloop/shared/training/embedded/onnx"
	"github.com/litterloop/litterloop/shared/training/job"
	"github.com/litterloop/litterloop/shared/training/job/engine"
)

// disk is a bucket that has no room for checkpoints.
type disk struct {
	*blobmem.Bucket
	full bool
}

func (d *disk) Write(ctx context.Context, name string, r io.Reader, o blob.WriteOptions) (blob.Attrs, error) {
	if d.full && strings.Contains(name, "checkpoint") {
		return blob.Attrs{}, fmt.Errorf("write %s: %w", name, syscall.ENOSPC)
	}
	return d.Bucket.Write(ctx, name, r, o)
}

// loop is the part of the loop from train to register, with the real trainer.
// Executions run one after the other.
type loop struct {
	t          *testing.T
	models     *disk
	datasets   *blobmem.Bucket
	bus        *busmem.Bus
	handled    int // messages
	executions []string
	killed     bool // every execution, before it could do anything
	trainer    engine.Recipes
	book       *training.Book
	registry   *registry.Registry
	runs       *tracking.Store
}

func newLoop(t *testing.T) *loop {
	l := &loop{t: t, models: &disk{Bucket: blobmem.New("models")}, datasets: blobmem.New("datasets"), bus: &busmem.Bus{}}
	l.book, l.registry, l.runs = training.NewBook(l.models, time.Now), registry.New(l.models, time.Now), tracking.New(l.models, time.Now)
	return l
}

// Start implements the launcher: it runs the job.
func (l *loop) Start(ctx context.Context, s platform.Spec) (string, error) {
	name := fmt.Sprint("trainer-", len(l.executions)+1)
	ended := "signal: killed"
	if !l.killed {
		ended = ""
		err := job.Run(ctx, s.Args, job.Deps{
			Model: "litter", Models: l.models, Datasets: l.datasets, Book: l.book, Runs: l.runs, Registry: l.registry,
			Bus: l.bus, Trainer: l.trainer, Open: engine.Open, Score: engine.Score, Report: engine.Report, Code: "test",
			Execution: name, Now: time.Now, Log: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			ended = "exit status 1"
		}
	}
	l.executions = append(l.executions, ended)
	return name, nil
}

func (l *loop) Find(context.Context, platform.Spec) (string, error) { return "", errs.NotFound }
func (l *loop) State(_ context.Context, name string) (platform.State, string, error) {
	var n int
	if _, err := fmt.Sscanf(name, "trainer-%d", &n); err != nil || n > len(l.executions) {
		return platform.Lost, "", err
	}
	if ended := l.executions[n-1]; ended != "" {
		return platform.Failed, ended, nil
	}
	return platform.Succeeded, "", nil
}

func (l *loop) Cancel(context.Context, string) error { return nil }

// ask has a training asked for and follows it to its end.
func (l *loop) ask(id, recipe string) training.Training {
	l.t.Helper()
	ctx, log := l.t.Context(), slog.New(slog.DiscardHandler)
	supervisor := training.NewSupervisor(l.book, l, "trainer", training.DefaultPolicy(), time.Now)
	ask := train.New(l.book, supervisor, l.bus, json.RawMessage(recipe), time.Now, log)
	end := register.New(register.Deps{
		Model: "litter", Models: l.models, Registry: l.registry, Runs: l.runs, Book: l.book, Supervisor: supervisor, Gate: gate.DefaultPolicy(),
		Current:    func(ctx context.Context) (dataset.Version, error) { return dataset.Current(ctx, l.datasets) },
		Reconsider: func(context.Context) error { return nil },
		Bus:        l.bus, Now: time.Now, Log: log,
	})
	e, err := event.New(event.Train, time.Now(), event.TrainData{Dataset: id, Trigger: "validated"}, id)
	if err == nil {
		err = ask.Handle(ctx, e)
	}
	for range training.DefaultPolicy().Attempts { // the schedule's ticks
		err = errors.Join(err, ask.Check(ctx))
	}
	for ; l.handled < len(l.bus.Messages()); l.handled++ {
		if m := l.bus.Messages()[l.handled]; m.Topic == bus.Register {
			err = errors.Join(err, end.Handle(ctx, m.Event))
		}
	}
	all, listed := l.book.Trainings(ctx)
	if err = errors.Join(err, listed); err != nil || len(all) == 0 {
		l.t.Fatalf("%d trainings, %v", len(all), err)
	}
	return all[len(all)-1]
}

// published are the events of a topic.
func (l *loop) published(topic string) (out []event.Event) {
	for _, m := range l.bus.Messages() {
		if m.Topic == topic {
			out = append(out, m.Event)
		}
	}
	return out
}

// picture is a drawn photo with other labels.
func picture(t *testing.T, n int, split dataset.Split, boxes ...dataset.Box) (dataset.Photo, []byte) {
	t.Helper()
	photos, err := drawing.Set(uint64(n), 1, drawing.Day)
	if err != nil {
		t.Fatal(err)
	}
	x := photos[0]
	sum := md5.Sum(x.JPEG)
	return dataset.Photo{
		MD5: hex.EncodeToString(sum[:]), Size: int64(len(x.JPEG)), Width: x.W, Height: x.H,
		Split: split, Path: fmt.Sprintf("images/%s/%d.jpg", split, n), Boxes: boxes,
	}, x.JPEG
}

// store keeps a version of photos: so many to train on and held out, each with the
// given boxes.
func store(t *testing.T, b blob.Bucket, id string, sequence int64, train, val int, classes []string, boxes ...dataset.Box) {
	t.Helper()
	var lines bytes.Buffer
	for i := range train + val {
		split := dataset.Train
		if i >= train {
			split = dataset.Val
		}
		p, jpeg := picture(t, i+1, split, boxes...)
		if _, err := b.Write(t.Context(), dataset.ContentObject(p.MD5), bytes.NewReader(jpeg), blob.WriteOptions{IfGeneration: blob.Any}); err != nil {
			t.Fatal(err)
		}
		if err := json.NewEncoder(&lines).Encode(p); err != nil {
			t.Fatal(err)
		}
	}
	v := dataset.Version{Schema: 1, ID: id, Sequence: sequence, Classes: classes}
	_, err := b.Write(t.Context(), dataset.VersionObject(id, dataset.PhotosFile), &lines, blob.WriteOptions{IfGeneration: blob.Any})
	if err == nil {
		_, err = blob.WriteJSON(t.Context(), b, dataset.VersionObject(id, dataset.SummaryFile), v, blob.Any)
	}
	if err == nil {
		err = dataset.Pass(t.Context(), b, v, time.Now())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// layers is an ONNX model of some nodes behind one convolution.
func layers(nodes ...onnx.Node) []byte {
	return onnx.Model{
		Nodes:     append([]onnx.Node{{Op: "Conv", Inputs: []string{"images", "w"}, Outputs: []string{"map"}}}, nodes...),
		Constants: []onnx.Constant{{Name: "w", Shape: []int{4, 3, 1, 1}, Floats: make([]float32, 12)}},
		Inputs:    []onnx.Value{{Name: "images", Shape: []any{1, 3, 64, 64}}}, Outputs: []onnx.Value{{Name: "out"}},
	}.Marshal()
}

// Whatever is wrong with data, starting model or machine, a training ends with a
// word about it: nothing is registered, somebody is told, and the next one runs.
func TestLoop_badInputEndsWithAWordAndTheLoopGoesOn(t *testing.T) {
	if err := onnxruntime.Init(); err != nil {
		t.Skipf("ONNX Runtime is missing: %v", err)
	}
	start, err := embedded.Untrained([]string{"thing"}, 128, 4)
	if err != nil {
		t.Fatal(err)
	}
	defer start.Close()
	box := dataset.Box{X: 40, Y: 40, W: 60, H: 50}
	const small = `"steps": 2, "batch_size": 2, "image_size": 64, "checkpoint_every": 1, "validate_every": 0`
	const scratch, finetune = `{` + small + `, "width": 4}`, `{"name": "finetune", "from": "start", "serve_size": 0, ` + small + `}`
	good := func(t *testing.T, l *loop) { store(t, l.datasets, "bad", 1, 2, 2, []string{"can"}, box) }
	of := func(train, val int, boxes ...dataset.Box) func(*testing.T, *loop) {
		return func(t *testing.T, l *loop) { store(t, l.datasets, "bad", 1, train, val, []string{"can"}, boxes...) }
	}
	for _, c := range []struct {
		name, recipe string
		data         func(*testing.T, *loop)
		start        []byte
		arrange      func(*loop, *engine.Trainer)
		says         string    // in the reason; none where it is trained on
		code         errs.Code // the reason's, where no repetition would help
		executions   int
	}{
		{name: "a data set of one photo", recipe: scratch, data: of(1, 0, box), says: "1 photos to train on and 0 held out", code: "training-data-invalid"},
		{name: "nothing but held-out photos", recipe: scratch, data: of(0, 1, box), says: "0 photos to train on and 1 held out", code: "training-data-invalid"},
		{name: "of one class", recipe: finetune, data: good},
		{name: "all photos empty", recipe: finetune, data: of(2, 2), says: "no object is labelled", code: "training-data-invalid"},
		{name: "boxes of one pixel", recipe: finetune, data: of(2, 2, dataset.Box{X: 5, Y: 5, W: 1, H: 1})},
		{name: "10,000 boxes on a photo", recipe: finetune, data: func(t *testing.T, l *loop) {
			var crowd []dataset.Box
			for i := range 10_000 {
				crowd = append(crowd, dataset.Box{X: float64(i % 100), Y: float64(i / 100), W: 4, H: 4})
			}
			of(1, 1, crowd...)(t, l)
		}},
		{name: "a photo gone since validation", recipe: finetune, data: func(t *testing.T, l *loop) {
			good(t, l)
			p, _ := picture(t, 1, dataset.Train)
			if err := l.datasets.Delete(t.Context(), dataset.ContentObject(p.MD5), blob.Any); err != nil {
				t.Fatal(err)
			}
		}, says: "it was there when the version was made and is gone", code: "photo-missing"},
		{name: "a held-out photo gone since validation", recipe: scratch, data: func(t *testing.T, l *loop) {
			good(t, l)
			p, _ := picture(t, 4, dataset.Val)
			if err := l.datasets.Delete(t.Context(), dataset.ContentObject(p.MD5), blob.Any); err != nil {
				t.Fatal(err)
			}
		}, says: "images/val/4.jpg", code: "photo-missing"},
		{name: "the version gone", recipe: scratch, data: func(*testing.T, *loop) {}, says: "not found", code: "dataset-missing"},
		{name: "a classifier to start from", recipe: finetune, data: good, start: layers(
			onnx.Node{Op: "GlobalAveragePool", Inputs: []string{"map"}, Outputs: []string{"pooled"}}, onnx.Node{Op: "Gemm", Inputs: []string{"pooled", "w"}, Outputs: []string{"out"}}), says: "is a classifier", code: "start-unsupported"},
		{name: "a quantised one", recipe: finetune, data: good, start: layers(onnx.Node{Op: "DequantizeLinear", Inputs: []string{"map"}, Outputs: []string{"out"}}), says: "is quantised", code: "start-unsupported"},
		{name: "a truncated one", recipe: finetune, data: good, start: start.ONNX[:len(start.ONNX)/2], says: "read the starting model", code: "start-unreadable"},
		{name: "one made by something else", recipe: finetune, data: good, start: []byte("PK\x03\x04 a PyTorch archive"), says: "export it as ONNX", code: "start-unreadable"},
		{name: "a page of the web", recipe: finetune, data: good, start: []byte("<!DOCTYPE html><html><head><title>Sign in"), says: "is a web page", code: "start-unreadable"},
		{name: "none", recipe: `{"name": "finetune", "from": "nowhere"}`, data: good, says: "nowhere", code: "start-unknown"},
		{name: "no memory for the photos", recipe: scratch, data: good, arrange: func(_ *loop, t *engine.Trainer) { t.Memory = 1000 }, says: "more memory", code: "out-of-memory"},
		{name: "killed for its memory", recipe: scratch, data: good, arrange: func(l *loop, _ *engine.Trainer) { l.killed = true }, says: "most likely for its memory", executions: 3},
		{name: "no disk", recipe: finetune, data: good, arrange: func(l *loop, _ *engine.Trainer) { l.models.full = true }, says: "no space left on device", executions: 3},
		{name: "no time", recipe: `{"seconds": 60, "width": 4, "image_size": 64}`, data: good, arrange: func(_ *loop, t *engine.Trainer) {
			t.Clock = func() time.Duration { return time.Hour }
		}, says: "the time was spent before the first step", code: "recipe-invalid"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLoop(t)
			c.data(t, l)
			own := engine.Trainer{}
			if c.arrange != nil {
				c.arrange(l, &own)
			}
			adapts := own
			adapts.Kind = embedded.Finetune
			adapts.Open = func(_ context.Context, from string) ([]byte, error) {
				switch {
				case from != "start":
					return nil, errs.Permanentf("start-unknown", "starting model %q: there is no such file", from)
				case c.start != nil:
					return c.start, nil
				}
				return start.ONNX, nil
			}
			l.trainer = engine.Recipes{training.Scratch: own, training.Finetune: adapts}
			got := l.ask("bad", c.recipe)
			if c.says == "" {
				if got.State != training.Registered || got.Version != 1 || len(l.published(bus.Deploy)) != 1 {
					t.Errorf("ended %s, version %d: %s", got.State, got.Version, got.Failure)
				}
				return
			}
			l.checkFailed(got, c.says, max(c.executions, 1))
			if c.code != "" && !strings.HasSuffix(got.Failure, fmt.Sprintf("(%s)", c.code)) {
				t.Errorf("%q does not name the reason %s", got.Failure, c.code)
			}
			l.killed, l.models.full = false, false
			l.trainer = engine.Recipes{training.Scratch: engine.Trainer{}}
			store(t, l.datasets, "good", 2, 2, 2, []string{"can"}, box)
			if next := l.ask("good", scratch); next.State != training.Registered || next.Version != 1 {
				t.Errorf("the next training ended %s, version %d: %s", next.State, next.Version, next.Failure)
			}
		})
	}
}

// checkFailed finds the reason wherever people look, and nothing of a model.
func (l *loop) checkFailed(x training.Training, says string, executions int) {
	l.t.Helper()
	if x.State != training.Failed || !strings.Contains(x.Failure, says) || len(l.executions) != executions {
		l.t.Errorf("ended %s after %d executions: %q, want one that says %q after %d", x.State, len(l.executions), x.Failure, says, executions)
	}
	if r, err := l.runs.Run(l.t.Context(), x.Run); errors.Is(err, errs.NotFound) && !l.killed || err == nil && (r.Status != tracking.Failed || !strings.Contains(r.Tags[tracking.TagFailure], says)) {
		l.t.Errorf("the run is %s, %v, %v", r.Status, r.Tags, err)
	}
	if versions, err := l.registry.List(l.t.Context(), "litter"); len(versions) > 0 || err != nil && !errors.Is(err, errs.NotFound) {
		l.t.Errorf("versions %v, %v", versions, err)
	}
	alerts := l.published(bus.Alerts)
	if len(alerts) != 1 || !strings.Contains(string(alerts[0].Data), "training-failed") || !strings.Contains(string(alerts[0].Data), x.Run) || len(l.published(bus.Deploy)) > 0 {
		l.t.Errorf("alerts %v, deploys %v", alerts, l.published(bus.Deploy))
	}
	if _, err := l.book.Current(l.t.Context()); !errors.Is(err, errs.NotFound) {
		l.t.Errorf("a training is in flight: %v", err)
	}
}
