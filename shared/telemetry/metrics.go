package telemetry

import (
	"context"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/litterloop/litterloop/shared/errs"
)

// Names of the loop's metrics; Prometheus shows them with underscores, and units
// and _total at their ends. docs/operations.md lists them.
const (
	metricEvents    = "litterloop.function.events"
	metricDuration  = "litterloop.function.duration"
	metricSuccess   = "litterloop.step.success_timestamp"
	metricDecisions = "litterloop.ledger.decisions"
)

// Outcomes of an event, as metrics count them.
const (
	outcomeOK        = "ok"
	outcomeRejected  = "rejected"  // permanent: acknowledged and reported
	outcomeTransient = "transient" // delivered again
)

// seconds spans a small event to a canary's hold.
var seconds = []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600}

// Handle runs f, which handles one event of the type in a function, as a span,
// and counts and times it by outcome.
func Handle(ctx context.Context, function, eventType string, f func(context.Context) error, attributes ...attribute.KeyValue) (err error) {
	ctx, span := StartKind(ctx, trace.SpanKindConsumer, function+" "+eventType, append(attributes,
		attribute.String("function", function), attribute.String("event.type", eventType))...)
	began := time.Now()
	defer func() {
		span.End(&err)
		m := otel.Meter(Scope)
		labels := metric.WithAttributes(attribute.String("function", function), attribute.String("type", eventType), attribute.String("outcome", outcome(err)))
		if c, e := m.Int64Counter(metricEvents, metric.WithDescription("Events handled, by function, type and outcome.")); e == nil {
			c.Add(ctx, 1, labels)
		}
		h, e := m.Float64Histogram(metricDuration, metric.WithUnit("s"), metric.WithDescription("Time to handle an event."), metric.WithExplicitBucketBoundaries(seconds...))
		if e == nil {
			h.Record(ctx, time.Since(began).Seconds(), labels)
		}
	}()
	return f(ctx)
}

func outcome(err error) string {
	if err == nil {
		return outcomeOK
	}
	if _, permanent := errs.Reason(err); permanent {
		return outcomeRejected
	}
	return outcomeTransient
}

// Succeeded records that a step of the loop (convert, validate, train, register,
// deploy, drift) has done all that it is for. What was rejected, held, refused or
// rolled back is no success, though its event was handled.
func Succeeded(ctx context.Context, step string, at time.Time) {
	g, err := otel.Meter(Scope).Float64Gauge(metricSuccess, metric.WithUnit("s"), metric.WithDescription("When the step last succeeded in full, in Unix time."))
	if err == nil {
		g.Record(ctx, float64(at.UnixMilli())/1000, metric.WithAttributes(attribute.String("step", step)))
	}
}

// Decided counts a decision that was entered in the ledger.
func Decided(ctx context.Context, trigger, outcome string) {
	c, err := otel.Meter(Scope).Int64Counter(metricDecisions, metric.WithDescription("Decisions on training entered in the ledger, by trigger and outcome."))
	if err == nil {
		c.Add(ctx, 1, metric.WithAttributes(attribute.String("trigger", trigger), attribute.String("outcome", outcome)))
	}
}
