package telemetry

import (
	"context"
	"io"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel/trace"
)

// Logger writes log lines that name their trace: on Cloud Run (getenv knows
// K_SERVICE or CLOUD_RUN_JOB) JSON as Cloud Logging reads it, elsewhere text for
// people. LOG_LEVEL=debug shows more.
func Logger(w io.Writer, getenv func(string) string) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(getenv("LOG_LEVEL"))) // what is no level is info
	if getenv("K_SERVICE") == "" && getenv("CLOUD_RUN_JOB") == "" {
		return slog.New(traced{slog.NewTextHandler(w, &slog.HandlerOptions{Level: level}), local})
	}
	json := slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level, ReplaceAttr: cloudNames})
	return slog.New(traced{json, cloud(getenv("GOOGLE_CLOUD_PROJECT"))})
}

// WithTrace returns a handler whose lines name the trace and span of their
// context.
func WithTrace(h slog.Handler) slog.Handler { return traced{h, local} }

// traced adds what trace says of a line's context.
type traced struct {
	slog.Handler
	trace func(trace.SpanContext) []slog.Attr
}

// Handle implements slog.Handler.
func (t traced) Handle(ctx context.Context, r slog.Record) error {
	if sc := trace.SpanContextFromContext(ctx); sc.IsValid() {
		r = r.Clone()
		r.AddAttrs(t.trace(sc)...)
	}
	return t.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (t traced) WithAttrs(a []slog.Attr) slog.Handler { return traced{t.Handler.WithAttrs(a), t.trace} }

// WithGroup implements slog.Handler.
func (t traced) WithGroup(name string) slog.Handler {
	return traced{t.Handler.WithGroup(name), t.trace}
}

func local(sc trace.SpanContext) []slog.Attr {
	return []slog.Attr{slog.String("trace", sc.TraceID().String()), slog.String("span", sc.SpanID().String())}
}

// cloud names the trace in the fields that Cloud Logging links to Cloud Trace
// (https://cloud.google.com/logging/docs/structured-logging).
func cloud(project string) func(trace.SpanContext) []slog.Attr {
	return func(sc trace.SpanContext) []slog.Attr {
		return []slog.Attr{
			slog.String("logging.googleapis.com/trace", "projects/"+project+"/traces/"+sc.TraceID().String()),
			slog.String("logging.googleapis.com/spanId", sc.SpanID().String()),
			slog.Bool("logging.googleapis.com/trace_sampled", sc.IsSampled()),
		}
	}
}

// cloudNames gives slog's own fields the names and values of Cloud Logging.
func cloudNames(groups []string, a slog.Attr) slog.Attr {
	if len(groups) > 0 {
		return a
	}
	switch a.Key {
	case slog.MessageKey:
		a.Key = "message"
	case slog.TimeKey:
		return slog.String("time", a.Value.Time().UTC().Format(time.RFC3339Nano))
	case slog.LevelKey:
		if level, ok := a.Value.Any().(slog.Level); ok { // else an attribute of that name
			return slog.String("severity", severity(level))
		}
	}
	return a
}

func severity(l slog.Level) string {
	switch {
	case l < slog.LevelInfo:
		return "DEBUG"
	case l < slog.LevelWarn:
		return "INFO"
	case l < slog.LevelError:
		return "WARNING"
	}
	return "ERROR"
}
