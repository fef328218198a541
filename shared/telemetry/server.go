package telemetry

import (
	"net/http"
	"strings"

	"github.com/felixge/httpsnoop"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// Request begins the span of a request that a server answers, in the caller's
// trace where its headers name one, and returns the request within it. Answered
// ends the span.
func Request(r *http.Request) (*http.Request, Span) {
	ctx := Continue(r.Context(), map[string]string{Traceparent: r.Header.Get(Traceparent), Tracestate: r.Header.Get(Tracestate)})
	ctx, span := StartKind(ctx, trace.SpanKindServer, r.Method, attribute.String("http.request.method", r.Method))
	return r.WithContext(ctx), span
}

// Answered ends a request's span. route is the pattern that it matched, never its
// path: paths are the caller's to choose.
func (s Span) Answered(method, route string, code int) {
	s.SetName(method + " " + route)
	s.SetAttributes(attribute.String("http.route", route), attribute.Int("http.response.status_code", code))
	if code >= http.StatusInternalServerError {
		s.SetStatus(codes.Error, http.StatusText(code))
	}
	s.Span.End()
}

// Route is the pattern that a request matched, without its method: what its
// server's multiplexer, or whoever takes a multiplexer's part, set as r.Pattern.
func Route(r *http.Request) string {
	if _, route, ok := strings.Cut(r.Pattern, " "); ok {
		return route
	}
	return "unknown"
}

// Handler has every request that next answers recorded as a span; quiet are
// paths that are asked all day and tell nothing, such as probes.
func Handler(next http.Handler, quiet ...string) http.Handler {
	skip := map[string]bool{}
	for _, path := range quiet {
		skip[path] = true
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if skip[r.URL.Path] {
			next.ServeHTTP(w, r)
			return
		}
		r, span := Request(r)
		code := http.StatusInternalServerError // after a panic, for which net/http cuts the connection
		defer func() { span.Answered(r.Method, Route(r), code) }()
		code = httpsnoop.CaptureMetrics(next, w, r).Code
	})
}
