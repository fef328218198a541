package training

import (
	"context"
	"time"

	"github.com/litterloop/litterloop/shared/blob"
)

// Phase is what a training's job is busy with.
type Phase string

// Phases, in order.
const (
	Fitting    Phase = "train"
	Packing    Phase = "package"
	Evaluating Phase = "evaluate"
	Done       Phase = "done"
)

// Progress is how far a training's job has come.
type Progress struct {
	Phase   Phase              `json:"phase"`
	Step    int                `json:"step"` // of Steps, in this phase
	Steps   int                `json:"steps"`
	Metrics map[string]float64 `json:"metrics,omitempty"` // newest figures of the trainer
	Updated time.Time          `json:"updated"`
}

func progressDocument(run string) string { return "trainings/" + run + "/progress.json" }

// WriteProgress replaces the progress of a run.
func WriteProgress(ctx context.Context, b blob.Bucket, run string, p Progress) error {
	_, err := blob.WriteJSON(ctx, b, progressDocument(run), p, blob.Any)
	return err
}

// ReadProgress returns the progress of a run; errs.NotFound before its job
// began.
func ReadProgress(ctx context.Context, b blob.Bucket, run string) (p Progress, err error) {
	_, err = blob.ReadJSON(ctx, b, progressDocument(run), &p)
	return p, err
}
