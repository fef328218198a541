package engine_test

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/blob/blobmem"
	"github.com/litterloop/litterloop/shared/bus/busmem"
	"github.com/litterloop/litterloop/shared/dataset"
	"github.com/litterloop/litterloop/shared/drawing"
	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/event"
	platform "github.com/litterloop/litterloop/shared/job"
	"github.com/litterloop/litterloop/shared/modelpackage"
	"github.com/litterloop/litterloop/shared/onnxruntime"
	"github.com/litterloop/litterloop/shared/predictionlog"
	"github.com/litterloop/litterloop/shared/registry"
	"github.com/litterloop/litterloop/shared/registry/gate"
	"github.com/litterloop/litterloop/shared/tracking"
	"github.com/litterloop/litterloop/shared/training"
	"github.com/litterloop/litterloop/shared/training/embedded"
	"github.com/litterloop/litterloop/shared/training/job"
	"github.com/litterloop/litterloop/shared/training/job/engine"
)

// launcher remembers what it was asked to start.
type launcher struct{ started []platform.Spec }

func (l *launcher) Start(_ context.Context, s platform.Spec) (string, error) {
	l.started = append(l.started, s)
	return fmt.Sprint("trainer-", len(l.started)), nil
}

func (l *launcher) State(context.Context, string) (platform.State, string, error) {
	return platform.Running, "", nil
}

func (l *launcher) Find(context.Context, platform.Spec) (string, error) { return "", errs.NotFound }
func (l *launcher) Cancel(context.Context, string) error                { return nil }

// drawn stores a version of drawn photos and makes it the current one.
func drawn(t *testing.T, b blob.Bucket, id string, sequence int64, train, val int) {
	t.Helper()
	photos, err := drawing.Set(uint64(sequence), train+val, drawing.Day)
	if err != nil {
		t.Fatal(err)
	}
	var lines bytes.Buffer
	for i, x := range photos {
		sum := md5.Sum(x.JPEG)
		p := dataset.Photo{MD5: hex.EncodeToString(sum[:]), Size: int64(len(x.JPEG)), Width: x.W, Height: x.H, Split: dataset.Train, Path: "images/train/" + x.Name + ".jpg"}
		if i >= train {
			p.Split, p.Path = dataset.Val, "images/val/"+x.Name+".jpg"
		}
		for _, o := range x.Boxes {
			p.Boxes = append(p.Boxes, dataset.Box{Class: o.Class, X: o.X1, Y: o.Y1, W: o.X2 - o.X1, H: o.Y2 - o.Y1})
		}
		if _, err := b.Write(t.Context(), dataset.ContentObject(p.MD5), bytes.NewReader(x.JPEG), blob.WriteOptions{IfGeneration: blob.Any}); err != nil {
			t.Fatal(err)
		}
		if err := json.NewEncoder(&lines).Encode(p); err != nil {
			t.Fatal(err)
		}
	}
	v := dataset.Version{Schema: 1, ID: id, Sequence: sequence, Classes: drawing.Classes}
	_, err = b.Write(t.Context(), dataset.VersionObject(id, dataset.PhotosFile), &lines, blob.WriteOptions{IfGeneration: blob.Any})
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

// The real trainer and the real detector: a package that both agree on, and a
// second training that goes on from the first one's model.
func TestRun_realTrainerAndDetector(t *testing.T) {
	if err := onnxruntime.Init(); err != nil {
		t.Skipf("ONNX Runtime is missing: %v", err)
	}
	foreign, err := embedded.Untrained([]string{"thing"}, 128, 4)
	if err != nil {
		t.Fatal(err)
	}
	defer foreign.Close()
	recipes := engine.Recipes{
		training.Scratch: engine.Trainer{},
		training.Finetune: engine.Trainer{Kind: embedded.Finetune, Open: func(_ context.Context, from string) ([]byte, error) {
			if from != "foreign" {
				return nil, errs.NotFound
			}
			return foreign.ONNX, nil
		}},
	}
	const small = `"steps": 40, "continue_steps": 10, "batch_size": 2, "image_size": 128, "checkpoint_every": 20, "validate_every": 20`
	t.Run("scratch", func(t *testing.T) {
		trainTwice(t, recipes, `{`+small+`, "width": 8}`, "", "Apache-2.0")
	})
	t.Run("finetune", func(t *testing.T) {
		trainTwice(t, recipes, `{"name": "finetune", "from": "foreign", "serve_size": 0, `+small+`}`, "foreign", "unknown: the starting model names none")
	})
}

func trainTwice(t *testing.T, recipes engine.Recipes, recipe, startedFrom, licence string) {
	models, datasets := blobmem.New("models"), blobmem.New("datasets")
	l := &launcher{}
	book := training.NewBook(models, time.Now)
	supervisor := training.NewSupervisor(book, l, "trainer", training.DefaultPolicy(), time.Now)
	versions := registry.New(models, time.Now)
	deps := job.Deps{
		Model: "litter", Models: models, Datasets: datasets, Book: book, Runs: tracking.New(models, time.Now), Registry: versions,
		Bus: &busmem.Bus{}, Trainer: recipes, Open: engine.Open, Score: engine.Score, Report: engine.Report, Code: "test",
		Now: time.Now, Log: slog.New(slog.DiscardHandler),
	}
	raw := json.RawMessage(recipe)

	train := func(id string) (modelpackage.Package, gate.Evaluation) {
		t.Helper()
		x, err := training.New(event.TrainData{Dataset: id, Trigger: "validated"}, raw)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := book.Begin(t.Context(), x); err != nil {
			t.Fatal(err)
		}
		if err := supervisor.Ensure(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := job.Run(t.Context(), l.started[len(l.started)-1].Args, deps); err != nil {
			t.Fatal(err)
		}
		if r, err := deps.Runs.Run(t.Context(), x.Run); err != nil || r.Status != tracking.Finished {
			t.Fatalf("run %+v, %v; messages %v", r, err, deps.Bus.(*busmem.Bus).Messages())
		}
		p, err := modelpackage.Load(t.Context(), models, training.Package("litter", x.Run))
		if err == nil {
			err = p.Verify(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
		var e gate.Evaluation
		if _, err := blob.ReadJSON(t.Context(), models, training.Artifacts("litter", x.Run)+gate.EvaluationFile, &e); err != nil {
			t.Fatal(err)
		}
		v, err := versions.Create(t.Context(), registry.Version{Model: "litter", Run: x.Run, Package: p.Prefix, Dataset: id, SHA256: p.Card.SHA256})
		if err == nil {
			err = versions.SetAlias(t.Context(), "litter", registry.Staging, v.Version, "test", "next")
		}
		if err == nil {
			err = book.Finish(t.Context(), x.Run, training.Registered, v.Version, "")
		}
		if err != nil {
			t.Fatal(err)
		}
		return p, e
	}

	drawn(t, datasets, "d1", 1, 8, 5)
	first, evidence := train("d1")
	if g := evidence.Golden; g.Photos == 0 || g.MaxPixels > 0.5 || g.MaxScore > 0.001 || len(g.Differences) > 0 {
		t.Errorf("golden: %+v", g)
	}
	if c := first.Card; c.StartedFrom != startedFrom || c.Licence != licence {
		t.Errorf("card: started from %q, licence %q", c.StartedFrom, c.Licence)
	}
	if evidence.Candidate.Photos != 5 || evidence.Serving != nil {
		t.Errorf("evidence: %+v", evidence)
	}
	reference, err := first.Read(t.Context(), modelpackage.ReferenceFile)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := predictionlog.ReadFile(bytes.NewReader(reference), int64(len(reference)))
	if err != nil || len(rows) != 5 || rows[0].Sharpness == 0 {
		t.Errorf("reference: %d rows, %v", len(rows), err)
	}
	for _, name := range []string{"report.json", "precision-recall.svg", "confusion.svg", "worst-1.jpg"} {
		if a, err := models.Stat(t.Context(), training.Artifacts("litter", first.Card.Run)+"report/"+name); err != nil || a.Size < 100 {
			t.Errorf("report %s: %d bytes, %v", name, a.Size, err)
		}
	}
	points, err := deps.Runs.Metrics(t.Context(), first.Card.Run)
	if latest := tracking.Latest(points); err != nil || latest["train/box_loss"].Step != 40 || latest["val/mAP50"].Step != 40 {
		t.Errorf("metrics: %v, %v", latest, err)
	}

	if r, err := deps.Runs.Run(t.Context(), first.Card.Run); err != nil || r.Params["recipe.seed"] != "1" || r.Params["recipe.steps"] != "40" {
		t.Errorf("parameters %v, %v: want the whole recipe", r.Params, err)
	}

	drawn(t, datasets, "d2", 2, 8, 5)
	second, evidence := train("d2")
	if second.Card.StartedFrom != first.Card.Run || evidence.Against != 1 || evidence.Serving == nil || evidence.Dataset != "d2" {
		t.Errorf("second: started from %q, evidence %+v", second.Card.StartedFrom, evidence)
	}
}
