// Package embedded trains a detector in this process: no Python, no accelerator.
// The network's forward and backward graphs are written as ONNX and run by ONNX
// Runtime; what is left (augmentation, loss, the loop) is Go. It links C (the
// runtime's binding), so functions must not import it.
package embedded

import (
	"context"
	"fmt"
	"time"

	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/modelpackage"
)

// Data is what a training sees.
type Data struct {
	Classes    []string
	Train, Val []Sample // Val may be empty: then nothing is measured
	// Start is the checkpoint of a previous model to go on from; empty starts
	// afresh. Its network must be as wide as the recipe's. Classes that it knows
	// by name keep what it learned of them; others start afresh.
	Start []byte
	// Pretrained is the ONNX of a detector that recipe finetune starts from.
	Pretrained []byte
}

// Sample is one labelled photo.
type Sample struct {
	Name string // for messages
	// Load returns the photo as it was taken (JPEG, PNG or WebP). It is called
	// once, from any goroutine.
	Load  func(ctx context.Context) ([]byte, error)
	Boxes []Box
}

// Box is a labelled object in pixels of the displayed photo.
type Box struct {
	Class          int // index into Data.Classes
	X1, Y1, X2, Y2 float64
}

// Step is what one optimiser step did.
type Step struct {
	Step               int     // counts from 1
	Total              int     // 0 where a budget of time decides
	Progress           float64 // of the budget, 0 to 1
	Epoch              float64
	BoxLoss, ClassLoss float64
	Positives          int // anchors that a label was assigned to
	LearningRate       float64
	GradientNorm       float64 // before clipping
}

// Validation is a measurement on Data.Val by the averaged weights.
type Validation struct {
	Step    int
	Final   bool
	Metrics modelpackage.Metrics
}

// Hooks let a training report and be resumed. Every field may be nil. They are
// called from Train's own goroutine; an error ends the training.
type Hooks struct {
	// Clock and CPU tell how much time has gone by and how much processor time
	// this process has taken; a recipe with a budget of either needs it.
	Clock, CPU func() time.Duration
	// Memory is how many bytes this process may use; 0 is unknown. A training whose
	// photos cannot fit is refused before the system kills it.
	Memory int64
	// Drawings is how many held-out photos the caller opens again and draws when
	// Train has ended: a budget of time leaves as much over.
	Drawings   int
	Step       func(Step)
	Validation func(ctx context.Context, v Validation) error
	// SaveCheckpoint keeps what a killed training resumes from. It is also
	// called, with a context that is not cancelled, when Train is cancelled.
	SaveCheckpoint func(ctx context.Context, checkpoint []byte) error
	// LoadCheckpoint returns the newest saved checkpoint, nil when there is none.
	LoadCheckpoint func(ctx context.Context) ([]byte, error)
}

// Reasons why a training cannot be done. All are permanent.
const (
	InvalidRecipe     errs.Code = "recipe-invalid"
	InvalidData       errs.Code = "training-data-invalid"
	InvalidCheckpoint errs.Code = "checkpoint-invalid"
)

// validate finds what no training can use.
func (d Data) validate() error {
	if len(d.Classes) == 0 {
		return errs.Permanentf(InvalidData, "the training data name no class")
	}
	seen := map[string]bool{}
	for _, c := range d.Classes {
		if seen[c] {
			return errs.Permanentf(InvalidData, "the training data name class %q twice", c)
		}
		seen[c] = true
	}
	if len(d.Train) == 0 {
		return errs.Permanentf(InvalidData, "the training data hold no photo to train on")
	}
	for _, part := range [][]Sample{d.Train, d.Val} {
		for _, s := range part {
			for i, b := range s.Boxes {
				if err := b.validate(len(d.Classes)); err != nil {
					return errs.Permanentf(InvalidData, "photo %s: box %d %w", s.Name, i, err)
				}
			}
		}
	}
	return nil
}

func (b Box) validate(classes int) error {
	if b.Class < 0 || b.Class >= classes {
		return fmt.Errorf("is of class %d of %d", b.Class, classes)
	}
	if !(b.X2 > b.X1 && b.Y2 > b.Y1) || b.X2-b.X1 > 1e9 || b.Y2-b.Y1 > 1e9 {
		return fmt.Errorf("runs from (%g, %g) to (%g, %g), which is no area", b.X1, b.Y1, b.X2, b.Y2)
	}
	return nil
}
