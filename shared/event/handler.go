package event

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"

	"go.opentelemetry.io/otel/attribute"

	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/telemetry"
)

// Handler serves one event handler as the HTTP function of that name, within the
// trace that the event carries. It answers by
// errs.Status: 2xx acknowledges (done, or permanently wrong and reported),
// anything else has the bus deliver again. What went wrong is logged here, and
// only here: the body of the answer is for a person with curl.
func Handler(function string, log *slog.Logger, handle func(ctx context.Context, e Event) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e, malformed := Decode(r)
		ctx := telemetry.Continue(r.Context(), e.Trace)
		err := telemetry.Handle(ctx, function, string(e.Type), func(spanned context.Context) error {
			ctx = spanned
			if malformed != nil {
				return malformed
			}
			return handle(ctx, e)
		}, attributes(e)...)
		if err != nil {
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

// attributes say which event a span handles.
func attributes(e Event) []attribute.KeyValue {
	a := []attribute.KeyValue{attribute.String("event.id", e.ID)}
	var o Object
	if e.Type == ObjectFinalized && json.Unmarshal(e.Data, &o) == nil {
		a = append(a, attribute.String("object", "gs://"+o.Bucket+"/"+o.Name))
	}
	return a
}
