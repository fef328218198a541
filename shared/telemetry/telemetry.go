// Package telemetry is what the parts of the loop say of themselves: spans,
// metrics, and log lines that lead to their trace. It speaks to OpenTelemetry's
// interface alone; package export decides where it goes. Without export nothing
// is recorded, and a trace that comes in still goes out.
package telemetry

import (
	"context"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/litterloop/litterloop/shared/errs"
)

// Scope is the instrumentation scope of the loop's own spans and metrics.
const Scope = "litterloop"

// Keys of W3C trace context in event attributes, object metadata and HTTP
// headers; upper-case in a process's environment.
const (
	Traceparent = "traceparent"
	Tracestate  = "tracestate"
)

// propagator is W3C's, whatever the process has set: what travels between the
// loop's parts is part of its own protocol.
var propagator propagation.TraceContext

// Span is an operation under way.
type Span struct{ trace.Span }

// Start begins a span below the one of ctx.
func Start(ctx context.Context, name string, attributes ...attribute.KeyValue) (context.Context, Span) {
	return StartKind(ctx, trace.SpanKindInternal, name, attributes...)
}

// StartKind is Start for an operation that meets another process.
func StartKind(ctx context.Context, kind trace.SpanKind, name string, attributes ...attribute.KeyValue) (context.Context, Span) {
	ctx, s := otel.Tracer(Scope).Start(ctx, name, trace.WithSpanKind(kind), trace.WithAttributes(attributes...))
	return ctx, Span{s}
}

// End ends the span, as failed when *err is an error:
//
//	ctx, span := telemetry.Start(ctx, "measure")
//	defer span.End(&err)
func (s Span) End(err *error) {
	if *err != nil {
		s.RecordError(*err)
		s.SetStatus(codes.Error, (*err).Error())
		if code, permanent := errs.Reason(*err); permanent {
			s.SetAttributes(attribute.String("error.type", string(code)))
		}
	}
	s.Span.End()
}

// Carry returns the trace of ctx as it travels to another process; nil without
// one.
func Carry(ctx context.Context) map[string]string {
	c := propagation.MapCarrier{}
	propagator.Inject(ctx, c)
	if len(c) == 0 {
		return nil
	}
	return c
}

// Continue returns ctx in the trace that was carried; ctx itself when there is
// none.
func Continue(ctx context.Context, carried map[string]string) context.Context {
	return propagator.Extract(ctx, propagation.MapCarrier(carried))
}

// Environ returns the trace of ctx as environment variables of a process that
// is started for it.
func Environ(ctx context.Context) map[string]string {
	env := map[string]string{}
	for key, v := range Carry(ctx) {
		env[variable[key]] = v
	}
	return env
}

// FromEnviron continues the trace of the process that started this one.
func FromEnviron(ctx context.Context, getenv func(string) string) context.Context {
	carried := map[string]string{}
	for key, name := range variable {
		carried[key] = getenv(name)
	}
	return Continue(ctx, carried)
}

var variable = map[string]string{Traceparent: "TRACEPARENT", Tracestate: "TRACESTATE"}
