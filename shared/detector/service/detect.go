package service

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/google/uuid"
	"github.com/litterloop/litterloop/shared/detector"
	"github.com/litterloop/litterloop/shared/errs"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// detectInput leaves the body to the handler: it comes in three forms.
type detectInput struct {
	Options
	request *http.Request
}

// Resolve keeps the request.
func (i *detectInput) Resolve(ctx huma.Context) []error {
	i.request, _ = humago.Unwrap(ctx)
	return nil
}

func (s *server) detect(ctx context.Context, in *detectInput) (*huma.StreamResponse, error) {
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	default:
		return nil, huma.ErrorWithHeaders(problem(errs.Permanentf(overloaded, "%d requests are in work already: try again in a second", cap(s.slots))),
			http.Header{"Retry-After": {"1"}})
	}
	ctx, cancel := context.WithTimeout(ctx, s.c.Timeout)
	defer cancel()
	model, err := s.await(ctx)
	if err != nil {
		return nil, problem(err)
	}
	up, err := s.receive(ctx, in.request, &in.Options)
	if err != nil {
		return nil, problem(err)
	}
	answers := make([]Answer, len(up.photos))
	for i, p := range up.photos {
		if answers[i], err = s.answer(ctx, model, p, in.query(), traceID(in.request)); err != nil {
			if p.name != "" {
				err = fmt.Errorf("%s: %w", p.name, err)
			}
			return nil, problem(err)
		}
	}
	if up.list {
		return reply(answers), nil
	}
	return reply(answers[0]), nil
}

// answer detects on one photo and logs it.
func (s *server) answer(ctx context.Context, model *served, p photo, q detector.Query, traceID string) (Answer, error) {
	r, err := model.Detect(ctx, p.data, q)
	if err != nil {
		return Answer{}, err
	}
	a := model.answer(uuid.Must(uuid.NewV7()).String(), p.name, r)
	s.metrics.answered(r)
	if s.log != nil {
		s.log.Add(model.row(a, r, len(p.data), s.c.Revision, traceID, s.d.Now()), p.data)
	}
	return a, nil
}

// query are the options as the detector takes them, where zero means default.
func (o Options) query() detector.Query {
	const aboveNothing = 1e-12
	if o.Conf == 0 {
		o.Conf = aboveNothing
	}
	if o.IoU == 0 {
		o.IoU = aboveNothing
	}
	return detector.Query{Conf: o.Conf, IoU: o.IoU, MaxDet: o.MaxDet, Classes: o.Classes, AgnosticNMS: o.AgnosticNMS}
}

// traceID is the caller's W3C trace, so that a row of the log leads to it.
func traceID(r *http.Request) string {
	ctx := propagation.TraceContext{}.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
	if sc := trace.SpanContextFromContext(ctx); sc.HasTraceID() {
		return sc.TraceID().String()
	}
	return ""
}

func reply(v any) *huma.StreamResponse {
	return &huma.StreamResponse{Body: func(ctx huma.Context) {
		ctx.SetHeader("Content-Type", "application/json")
		// The client may be gone; there is nobody to tell.
		_ = json.NewEncoder(ctx.BodyWriter()).Encode(v)
	}}
}
