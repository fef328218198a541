// Package job is what runs inside the training job: it trains a run's model,
// packs it, measures it with the real detector and says that it is ready to be
// registered. Killed at any point and started again, it goes on.
package job

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel/attribute"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/bus"
	"github.com/litterloop/litterloop/shared/dataset"
	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/event"
	"github.com/litterloop/litterloop/shared/modelpackage"
	"github.com/litterloop/litterloop/shared/registry"
	"github.com/litterloop/litterloop/shared/telemetry"
	"github.com/litterloop/litterloop/shared/tracking"
	"github.com/litterloop/litterloop/shared/training"
)

// Sample is a labelled photo to train on or to measure with.
type Sample struct {
	Name  string
	Photo func(context.Context) ([]byte, error) // encoded bytes
	Boxes []dataset.Box
}

// Data is what a trainer learns from and measures itself on.
type Data struct {
	Classes    []string
	Train, Val []Sample
}

// Start is a model to go on from.
type Start struct {
	Card       modelpackage.Card
	Checkpoint []byte // the trainer's own, from the model's package
}

// Hooks let a trainer report and survive. They are called from the goroutine of
// Train; an error of theirs ends the training.
type Hooks struct {
	// Run is the tracked run's id.
	Run string
	// Note keeps a sentence that the run's owner should know.
	Note func(ctx context.Context, text string) error
	// Step reports a finished step, counted from 1, and its figures.
	Step func(step, steps int, figures map[string]float64)
	// Measured reports metrics on the validation samples during the training.
	Measured func(ctx context.Context, step int, m modelpackage.Metrics) error
	// Save keeps a checkpoint of the unfinished training; Load returns the last
	// one kept, nil when there is none.
	Save func(ctx context.Context, checkpoint []byte) error
	Load func(ctx context.Context) ([]byte, error)
}

// Query are the options of a detection.
type Query struct {
	Conf, IoU float64
	MaxDet    int
}

// Model is a trained model.
type Model struct {
	ONNX       []byte
	Checkpoint []byte // to start later trainings from; may be empty
	ImageSize  int
	Licence    string
	// StartedFrom are the weights that the trainer began with, where they are no
	// model of this deployment: a name, a path or a URI.
	StartedFrom string
	// Predict is the trainer's own forward pass and decoding.
	Predict func(ctx context.Context, photo []byte, q Query) ([]modelpackage.Detection, error)
	Close   func() error
}

// Trainer trains. A permanent error means that the data or the recipe can't be
// trained on; after any other the job is started again and goes on from the
// checkpoint.
type Trainer interface {
	// Complete returns a recipe with the trainer's defaults for what it leaves
	// out.
	Complete(recipe json.RawMessage) (json.RawMessage, error)
	// Train trains by a complete recipe.
	Train(ctx context.Context, data Data, recipe json.RawMessage, start *Start, hooks Hooks) (Model, error)
	// Fits tells whether a training on these classes can start from a model; the
	// error says why not.
	Fits(start Start, classes []string, recipe json.RawMessage) error
}

// Answer is what the detector says of a photo.
type Answer struct {
	Width, Height                   int
	Brightness, Contrast, Sharpness float32
	Detections                      []modelpackage.Detection // best first
}

// Detector is the one that serves. Safe for concurrent use.
type Detector interface {
	Detect(ctx context.Context, photo []byte, q Query) (Answer, error)
	Close() error
}

// Truth is a photo's labels beside what was found on it.
type Truth struct {
	Name  string
	Boxes []dataset.Box
	Found []modelpackage.Detection
}

// Deps are what the job works with.
type Deps struct {
	Model            string // registered model that this deployment trains
	Models, Datasets blob.Bucket
	Book             *training.Book
	Runs             *tracking.Store
	Registry         *registry.Registry
	Bus              bus.Publisher
	Trainer          Trainer
	Open             func(model []byte) (Detector, error)
	// Score computes the metrics that pycocotools would, of detections whose
	// ClassID indexes classes.
	Score func(classes []string, photos []Truth) modelpackage.Metrics
	// Report writes a measurement for people: files by their names, of photos
	// that open returns. trained are the labelled boxes of each class in the
	// training split.
	Report func(ctx context.Context, classes []string, trained []int, photos []Truth, open func(ctx context.Context, i int) ([]byte, error)) (map[string][]byte, error)
	// Execution is this execution's name as job.Launcher.State takes it: for
	// Cloud Run projects/P/locations/L/jobs/J/executions/E. By it a job is found
	// lost whose launcher died before it noted the name. Empty when unknown.
	Execution string
	Code      string // version of this program
	Now       func() time.Time
	Log       *slog.Logger
}

// Run does what the arguments say: TASK --run RUN --launch NUMBER. Its error is
// worth another execution; a training that can't succeed is reported as failed
// and is no error.
func Run(ctx context.Context, args []string, d Deps) error {
	task, run, launch, err := parse(args)
	if err != nil {
		return err
	}
	t, err := d.Book.Adopt(ctx, run, launch, d.Execution)
	if code, _ := errs.Reason(err); code == training.CodeSuperseded {
		d.Log.InfoContext(ctx, "nothing to do", "reason", err)
		return nil
	}
	if err != nil {
		return err
	}
	w := &worker{Deps: d, t: t, progress: newProgress(d.Models, run, d.Now, d.Log)}
	err = span(ctx, "training job", func(ctx context.Context) error {
		err := w.work(ctx, task)
		if _, permanent := errs.Reason(err); permanent {
			return w.fail(ctx, err)
		}
		if err != nil && ctx.Err() == nil { // else somebody ended it, and it goes on elsewhere
			if note := d.Book.Note(ctx, run, launch, err.Error()); note != nil {
				d.Log.WarnContext(ctx, "the training's error is not noted", "run", run, "error", note)
			}
		}
		return err
	}, attribute.String("run", run), attribute.String("task", string(task)), attribute.Int("launch", launch), attribute.String("dataset", t.Dataset))
	return err
}

func (w *worker) work(ctx context.Context, task training.Task) error {
	if task == training.Train {
		if err := w.train(ctx); err != nil {
			return err
		}
	}
	if err := w.evaluate(ctx); err != nil {
		return err
	}
	telemetry.Succeeded(ctx, "train", w.Now())
	return nil
}

// span runs f as a span.
func span(ctx context.Context, name string, f func(context.Context) error, attributes ...attribute.KeyValue) (err error) {
	ctx, s := telemetry.Start(ctx, name, attributes...)
	defer s.End(&err)
	return f(ctx)
}

func parse(args []string) (task training.Task, run string, launch int, err error) {
	if len(args) == 0 || (args[0] != string(training.Train) && args[0] != string(training.Evaluate)) {
		return "", "", 0, fmt.Errorf("trainer arguments %q: begin with %s or %s", args, training.Train, training.Evaluate)
	}
	flags := flag.NewFlagSet("trainer "+args[0], flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&run, "run", "", "run of the book of trainings")
	flags.IntVar(&launch, "launch", 0, "number of the launch")
	if err := flags.Parse(args[1:]); err != nil {
		return "", "", 0, fmt.Errorf("trainer arguments %q: %w", args, err)
	}
	if run == "" {
		return "", "", 0, fmt.Errorf("trainer arguments %q: --run is missing", args)
	}
	return training.Task(args[0]), run, launch, nil
}

// worker does one training's work.
type worker struct {
	Deps
	t        training.Training
	progress *progress
	recipe   json.RawMessage // complete
	curve    curve
	epoch    epochs
	answers  map[string]Answer // of the candidate, by the photo's MD5
}

// fail ends the run for good.
func (w *worker) fail(ctx context.Context, reason error) error {
	w.Log.ErrorContext(ctx, "training failed", "run", w.t.Run, "error", reason)
	if err := w.Runs.SetStatus(ctx, w.t.Run, tracking.Failed); err != nil && !errors.Is(err, errs.NotFound) {
		return err
	}
	code, _ := errs.Reason(reason)
	return w.publish(ctx, event.RegisterData{Run: w.t.Run, Failed: fmt.Sprintf("%v (%s)", reason, code)}, "failed")
}

func (w *worker) publish(ctx context.Context, d event.RegisterData, identity ...string) error {
	e, err := event.New(event.Register, w.Now(), d, append([]string{d.Run}, identity...)...)
	if err != nil {
		return err
	}
	return w.Bus.Publish(ctx, bus.Register, e)
}
