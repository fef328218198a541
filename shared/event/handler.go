package event

import (
	"context"
	"log/slog"
	"net/http"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/litterloop/litterloop/shared/errs"
)

// Handler serves one event handler as an HTTP function. It answers by
// errs.Status: 2xx acknowledges (done, or permanently wrong and reported),
// anything else has the bus deliver again. What went wrong is logged here, and
// only here: the body of the answer is for a person with curl.
func Handler(log *slog.Logger, handle func(ctx context.Context, e Event) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e, err := Decode(r)
		ctx := otel.GetTextMapPropagator().Extract(r.Context(), propagation.MapCarrier(e.Trace))
		ctx, span := otel.Tracer("litterloop").Start(ctx, "handle "+string(e.Type), trace.WithSpanKind(trace.SpanKindConsumer),
			trace.WithAttributes(attribute.String("event.id", e.ID)))
		defer span.End()
		if err == nil {
			err = handle(ctx, e)
		}
		if err != nil {
			span.RecordError(err)
			span.SetStatus(codes.Error, err.Error())
			code, permanent := errs.Reason(err)
			level := slog.LevelWarn
			if permanent {
				level = slog.LevelError
			}
			log.Log(ctx, level, "event failed", "type", e.Type, "id", e.ID, "permanent", permanent, "code", code, "error", err)
			http.Error(w, err.Error(), errs.Status(err))
			return
		}
		log.DebugContext(ctx, "event handled", "type", e.Type, "id", e.ID)
		w.WriteHeader(errs.Status(nil))
	})
}
