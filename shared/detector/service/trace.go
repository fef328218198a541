package service

import (
	"context"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/litterloop/litterloop/shared/detector"
	"github.com/litterloop/litterloop/shared/telemetry"
)

// traced begins the span of a request, in the caller's trace where it names one.
// Probes and scrapes come all day and tell nothing: they have none.
func traced(r *http.Request) (*http.Request, telemetry.Span) {
	switch r.URL.Path {
	case "/healthz", "/readyz", "/metrics":
		return r, telemetry.Span{Span: trace.SpanFromContext(context.Background())}
	}
	return telemetry.Request(r)
}

// steps adds the spans of a photo's steps, which have just ended.
func steps(ctx context.Context, id string, r detector.Result, now time.Time) {
	parent := trace.SpanFromContext(ctx)
	if !parent.IsRecording() {
		return
	}
	parent.SetAttributes(attribute.String("prediction", id), attribute.Int("detections", len(r.Detections)))
	all := []struct {
		name string
		took time.Duration
	}{
		{"wait", r.Timings.Wait}, {"decode", r.Timings.Decode}, {"letterbox", r.Timings.Preprocess},
		{"run", r.Timings.Inference}, {"nms", r.Timings.Postprocess},
	}
	at := now
	for _, s := range all {
		at = at.Add(-s.took)
	}
	for _, s := range all {
		_, span := otel.Tracer(telemetry.Scope).Start(ctx, s.name, trace.WithTimestamp(at))
		at = at.Add(s.took)
		span.End(trace.WithTimestamp(at))
	}
}

// observe adds to a histogram, with the trace as its exemplar where there is one
// that can be looked up.
func observe(ctx context.Context, h prometheus.Observer, seconds float64) {
	sc := trace.SpanContextFromContext(ctx)
	if e, ok := h.(prometheus.ExemplarObserver); ok && sc.IsSampled() {
		e.ObserveWithExemplar(seconds, prometheus.Labels{"trace_id": sc.TraceID().String()})
		return
	}
	h.Observe(seconds)
}

// traceID is the request's W3C trace, so that a row of the log leads to it.
func traceID(ctx context.Context) string {
	if sc := trace.SpanContextFromContext(ctx); sc.HasTraceID() {
		return sc.TraceID().String()
	}
	return ""
}
