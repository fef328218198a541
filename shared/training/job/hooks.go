package job

import (
	"bytes"
	"context"
	"errors"
	"strconv"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/modelpackage"
	"github.com/litterloop/litterloop/shared/tracking"
	"github.com/litterloop/litterloop/shared/training"
)

// curveStep is how many steps' means make one point of a loss curve.
const curveStep = 20

// curve gathers the figures of steps into points, and points until they are
// logged.
type curve struct {
	sums   map[string]float64
	count  int
	last   int // newest step
	points []tracking.Metric
}

func (c *curve) add(step int, figures map[string]float64) {
	if c.sums == nil {
		c.sums = map[string]float64{}
	}
	for k, v := range figures {
		c.sums[k] += v
	}
	c.count++
	c.last = step
}

// mean ends the point being gathered and returns its figures.
func (c *curve) mean() map[string]float64 {
	m := map[string]float64{}
	for k, v := range c.sums {
		m[k] = v / float64(c.count)
	}
	c.sums, c.count = nil, 0
	return m
}

func (w *worker) hooks() Hooks {
	checkpoint := training.Checkpoint(w.t.Run)
	return Hooks{
		Run: w.t.Run,
		Note: func(ctx context.Context, text string) error {
			return w.Runs.SetTags(ctx, w.t.Run, map[string]string{tracking.TagNote: text})
		},
		Step: func(step, steps int, figures map[string]float64) {
			w.epoch.at(step, figures["train/epoch"])
			w.curve.add(step, figures)
			if step%curveStep == 0 || step == steps {
				w.gather()
			}
			w.progress.report(context.Background(), training.Fitting, step, steps, figures)
		},
		Measured: func(ctx context.Context, step int, m modelpackage.Metrics) error {
			return w.Runs.LogMetrics(ctx, w.t.Run, "val-"+strconv.Itoa(step), w.points(step, figures("val", m)))
		},
		Save: func(ctx context.Context, data []byte) error {
			// The points first: a training that goes on from this checkpoint
			// does not make them again.
			if err := w.flush(ctx); err != nil {
				return err
			}
			_, err := w.Models.Write(ctx, checkpoint, bytes.NewReader(data), blob.WriteOptions{IfGeneration: blob.Any})
			return err
		},
		Load: func(ctx context.Context) ([]byte, error) {
			data, _, err := blob.ReadAll(ctx, w.Models, checkpoint)
			if errors.Is(err, errs.NotFound) {
				return nil, nil
			}
			return data, err
		},
	}
}

// gather turns the steps since the last point into one.
func (w *worker) gather() {
	w.curve.points = append(w.curve.points, w.points(w.curve.last, w.curve.mean())...)
}

// flush logs the points gathered, as a segment named by its last step: a
// training that goes on from a checkpoint repeats the steps after it, and their
// points are kept once.
func (w *worker) flush(ctx context.Context) error {
	if w.curve.count > 0 {
		w.gather()
	}
	if len(w.curve.points) == 0 {
		return nil
	}
	err := w.Runs.LogMetrics(ctx, w.t.Run, "step-"+strconv.Itoa(w.curve.last), w.curve.points)
	if err == nil {
		w.curve.points = nil
	}
	return err
}

// figures names a model's metrics for a run.
func figures(where string, m modelpackage.Metrics) map[string]float64 {
	return map[string]float64{where + "/mAP50": m.MAP50, where + "/mAP50-95": m.MAP50_95, where + "/recall": m.Recall100}
}

func (w *worker) points(step int, metrics map[string]float64) []tracking.Metric {
	now := w.Now().UnixMilli()
	points := make([]tracking.Metric, 0, len(metrics))
	for k, v := range metrics {
		points = append(points, tracking.Metric{Key: k, Value: v, Step: int64(step), Time: now})
	}
	return points
}
