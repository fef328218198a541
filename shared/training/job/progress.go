package job

import (
	"context"
	"log/slog"
	"time"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/training"
)

// progress writes a training's progress document, about once a second: more
// often is more than Cloud Storage takes for one object.
type progress struct {
	bucket blob.Bucket
	run    string
	now    func() time.Time
	log    *slog.Logger
	last   training.Progress
}

func newProgress(b blob.Bucket, run string, now func() time.Time, log *slog.Logger) *progress {
	return &progress{bucket: b, run: run, now: now, log: log}
}

// report keeps what watchers want to see. It is not worth failing for.
func (p *progress) report(ctx context.Context, phase training.Phase, step, steps int, metrics map[string]float64) {
	now := p.now().UTC()
	if phase == p.last.Phase && step < steps && now.Sub(p.last.Updated) < time.Second {
		return
	}
	p.last = training.Progress{Phase: phase, Step: step, Steps: steps, Metrics: metrics, Updated: now}
	if err := training.WriteProgress(ctx, p.bucket, p.run, p.last); err != nil {
		p.log.WarnContext(ctx, "progress not written", "run", p.run, "error", err)
	}
}
