package job

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strconv"
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"golang.org/x/sync/errgroup"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/dataset"
	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/event"
	"github.com/litterloop/litterloop/shared/modelpackage"
	"github.com/litterloop/litterloop/shared/registry"
	"github.com/litterloop/litterloop/shared/registry/gate"
	"github.com/litterloop/litterloop/shared/tracking"
	"github.com/litterloop/litterloop/shared/training"
)

// measuring are the options for mAP: every box, down to the least confident, as
// pycocotools is fed.
var measuring = Query{Conf: 0.001, IoU: 0.7, MaxDet: 300}

// evaluate measures the run's model and the serving one on the newest version's
// held-out photos, leaves the evidence beside the package and says that the
// model is ready to be registered.
func (w *worker) evaluate(ctx context.Context) error {
	pkg, err := modelpackage.Load(ctx, w.Models, training.Package(w.Model, w.t.Run))
	if err != nil {
		return err
	}
	newest, err := dataset.Current(ctx, w.Datasets)
	if errors.Is(err, errs.NotFound) {
		err = errs.Permanent("dataset-missing", err)
	}
	if err != nil {
		return err
	}
	held, err := w.heldOut(ctx, newest)
	if err != nil {
		return err
	}
	e := gate.Evaluation{Schema: 1, Run: w.t.Run, Dataset: newest.ID}
	err = span(ctx, "measure the candidate", func(ctx context.Context) (err error) {
		e.Candidate, err = w.measure(ctx, pkg, newest, held, w.answers)
		return err
	}, attribute.Int("photos", len(held)))
	if err != nil {
		return err
	}
	serving, err := w.Registry.ByAlias(ctx, w.Model, registry.Staging)
	if err != nil && !errors.Is(err, errs.NotFound) {
		return err
	}
	if err == nil {
		p, err := modelpackage.Load(ctx, w.Models, serving.Package)
		if err != nil {
			return err
		}
		var m modelpackage.Metrics
		err = span(ctx, "measure the serving model", func(ctx context.Context) (err error) {
			m, err = w.measure(ctx, p, newest, held, nil)
			return err
		}, attribute.Int("photos", len(held)), attribute.Int("version", serving.Version))
		if err != nil {
			return err
		}
		e.Against, e.Serving = serving.Version, &m
	}
	err = span(ctx, "compare golden photos", func(ctx context.Context) (err error) {
		e.Golden, err = w.compareGolden(ctx, pkg)
		return err
	})
	if err != nil {
		return err
	}
	e.Measured = w.Now().UTC()
	return w.conclude(ctx, e)
}

func (w *worker) conclude(ctx context.Context, e gate.Evaluation) error {
	if _, err := blob.WriteJSON(ctx, w.Models, training.Artifacts(w.Model, w.t.Run)+gate.EvaluationFile, e, blob.Any); err != nil {
		return err
	}
	measured := figures("gate", e.Candidate)
	if e.Serving != nil {
		maps.Copy(measured, figures("gate/serving", *e.Serving))
	}
	if err := w.Runs.LogMetrics(ctx, w.t.Run, "gate-"+strconv.Itoa(w.t.Launch.Number), w.points(0, measured)); err != nil {
		return err
	}
	if err := w.Runs.SetStatus(ctx, w.t.Run, tracking.Finished); err != nil {
		return err
	}
	if err := w.publish(ctx, event.RegisterData{Run: w.t.Run}, e.Dataset, strconv.Itoa(e.Against)); err != nil {
		return err
	}
	w.progress.report(ctx, training.Done, 1, 1, measured)
	if err := w.Models.Delete(ctx, training.Checkpoint(w.t.Run), blob.Any); err != nil && !errors.Is(err, errs.NotFound) {
		w.Log.WarnContext(ctx, "checkpoint of a finished training not deleted", "run", w.t.Run, "error", err)
	}
	return nil
}

func (w *worker) heldOut(ctx context.Context, v dataset.Version) ([]dataset.Photo, error) {
	photos, err := dataset.Photos(ctx, w.Datasets, v.ID)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(photos, func(p dataset.Photo) bool { return p.Split != dataset.Val }), nil
}

// measure returns a packaged model's metrics on held-out photos of a version.
// known are answers it gave before.
func (w *worker) measure(ctx context.Context, p modelpackage.Package, v dataset.Version, held []dataset.Photo, known map[string]Answer) (modelpackage.Metrics, error) {
	missing := slices.DeleteFunc(slices.Clone(held), func(x dataset.Photo) bool { _, ok := known[x.MD5]; return ok })
	answers := map[string]Answer{}
	if len(missing) > 0 {
		onnx, err := p.Read(ctx, modelpackage.ModelFile)
		if err != nil {
			return modelpackage.Metrics{}, err
		}
		if answers, err = w.ask(ctx, onnx, missing, training.Evaluating); err != nil {
			return modelpackage.Metrics{}, fmt.Errorf("measure the model of run %s: %w", p.Card.Run, err)
		}
	}
	for _, x := range held {
		if a, ok := known[x.MD5]; ok {
			answers[x.MD5] = a
		}
	}
	return w.Score(v.Classes, truths(held, answers, classMap(p.Card.Classes, v.Classes))), nil
}

// classMap translates a model's class indices to a version's, by name; -1 for a
// class that the version does not have.
func classMap(model, version []string) []int {
	m := make([]int, len(model))
	for i, c := range model {
		m[i] = slices.Index(version, c)
	}
	return m
}

// truths puts labels and answers side by side; classes may be nil when the
// model's are the version's.
func truths(held []dataset.Photo, answers map[string]Answer, classes []int) []Truth {
	all := make([]Truth, 0, len(held))
	for _, p := range held {
		found := answers[p.MD5].Detections
		if classes != nil {
			found = translate(found, classes)
		}
		all = append(all, Truth{Name: p.Path, Boxes: p.Boxes, Found: found})
	}
	return all
}

func translate(found []modelpackage.Detection, classes []int) []modelpackage.Detection {
	var out []modelpackage.Detection
	for _, x := range found {
		if x.ClassID < len(classes) && classes[x.ClassID] >= 0 {
			x.ClassID = classes[x.ClassID]
			out = append(out, x)
		}
	}
	return out
}

// ask has the real detector look at photos, as many at once as there are
// processors.
func (w *worker) ask(ctx context.Context, onnx []byte, photos []dataset.Photo, phase training.Phase) (map[string]Answer, error) {
	d, err := w.Open(onnx)
	if err != nil {
		return nil, fmt.Errorf("open the model in the detector: %w", err)
	}
	defer d.Close()
	answers := make(map[string]Answer, len(photos))
	var mu sync.Mutex
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for _, p := range photos {
		g.Go(func() error {
			photo, err := w.photo(ctx, p)
			if err != nil {
				return err
			}
			a, err := d.Detect(ctx, photo, measuring)
			if err != nil {
				return fmt.Errorf("detect on %s: %w", p.Path, err)
			}
			mu.Lock()
			defer mu.Unlock()
			answers[p.MD5] = a
			w.progress.report(ctx, phase, len(answers), len(photos), nil)
			return nil
		})
	}
	return answers, g.Wait()
}

// compareGolden has the real detector look at the golden photos.
func (w *worker) compareGolden(ctx context.Context, p modelpackage.Package) (gate.Golden, error) {
	set, err := p.Golden(ctx)
	if err != nil {
		return gate.Golden{}, err
	}
	onnx, err := p.Read(ctx, modelpackage.ModelFile)
	if err != nil {
		return gate.Golden{}, err
	}
	d, err := w.Open(onnx)
	if err != nil {
		return gate.Golden{}, fmt.Errorf("open the model in the detector: %w", err)
	}
	defer d.Close()
	var result gate.Golden
	for _, g := range set.Photos {
		photo, err := p.Photo(ctx, g)
		if err != nil {
			return result, err
		}
		a, err := d.Detect(ctx, photo, Query{Conf: set.Conf, IoU: set.IoU, MaxDet: set.MaxDet})
		if err != nil {
			return result, fmt.Errorf("detect on golden photo %s: %w", g.File, err)
		}
		diff := set.Compare(g, a.Detections)
		result.Photos++
		result.Detections += len(g.Detections)
		result.MaxPixels = max(result.MaxPixels, diff.Pixels)
		result.MaxScore = max(result.MaxScore, diff.Score)
		for _, f := range diff.Faults {
			result.Differences = append(result.Differences, g.File+": "+f)
		}
	}
	return result, nil
}
