package job

import (
	"context"
	"math"

	"go.opentelemetry.io/otel/attribute"

	"github.com/litterloop/litterloop/shared/telemetry"
)

// epochs makes a span of each epoch of a training, from its steps' reports: a
// span of each step would be thousands.
type epochs struct {
	ctx    context.Context // of the training; nil: no spans
	number float64
	span   *telemetry.Span
	last   int // step
}

// at says that a step ended, so many epochs (0.5: half of the first) after the
// beginning.
func (e *epochs) at(step int, epoch float64) {
	if e.ctx == nil {
		return
	}
	if number := math.Ceil(epoch); e.span == nil || number > e.number {
		e.end()
		_, s := telemetry.Start(e.ctx, "epoch", attribute.Int("epoch", int(number)), attribute.Int("first_step", step))
		e.span, e.number = &s, number
	}
	e.last = step
}

// end ends the span of the last epoch.
func (e *epochs) end() {
	if e.span == nil {
		return
	}
	var none error
	e.span.SetAttributes(attribute.Int("last_step", e.last))
	e.span.End(&none)
	e.span = nil
}
