package service

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image/jpeg"
	"image/png"
	"mime"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"
	"github.com/litterloop/litterloop/shared/detector"
	"github.com/litterloop/litterloop/shared/detector/annotate"
	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/imaging"
)

// detectInput leaves the body to the handler: it comes in four forms.
type detectInput struct {
	DetectOptions
	wire
}

func (s *server) detect(ctx context.Context, in *detectInput) (*huma.StreamResponse, error) {
	model, leave, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	if isLines(in.request.Header.Get("Content-Type")) {
		return s.stream(in.request, model, leave, s.lines(in.request, in.DetectOptions)), nil // leaves at its end
	}
	stays := true
	defer func() {
		if stays {
			leave()
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, s.c.Timeout)
	defer cancel()
	o := in.DetectOptions
	var up upload
	err = s.atDesk(ctx, in.request, func() (err error) {
		up, err = s.receive(in.request, &o)
		return err
	})
	if err != nil {
		return nil, refusal(err)
	}
	leaveDesk := sync.OnceFunc(s.desks.leave)
	defer leaveDesk()
	if slices.ContainsFunc(up.photos, photo.named) {
		leaveDesk()
	}
	picture := picture(in.request, o)
	switch {
	case picture != "" && len(up.photos) != 1:
		return nil, problem(errs.Permanentf(detector.QueryInvalid, "one photo at a time can be annotated, not %d", len(up.photos)))
	case picture == "" && accepts(in.request, isLines):
		// The client may be slow to read, and nobody shall wait for that.
		release, err := s.desks.aside(s.bodySize(in.request))
		if err != nil {
			return nil, refusal(err)
		}
		stays = false
		return s.stream(in.request, model, func() { release(); leave() }, up.items(o)), nil
	}
	q, err := o.query(model.Spec().Classes)
	if err != nil {
		return nil, problem(err)
	}
	answers := make([]Answer, len(up.photos))
	for i := range up.photos {
		p := &up.photos[i]
		if answers[i], err = s.answer(ctx, model, p, q, in.request); err != nil {
			if p.name != "" {
				err = fmt.Errorf("%s: %w", p.name, err)
			}
			return nil, problem(err)
		}
		if picture == "" {
			s.desks.reuse(p.data)
			p.data = nil
		}
	}
	if picture != "" {
		out, err := s.drawn(up.photos[0].data, answers[0], picture)
		if err != nil {
			return nil, problem(err)
		}
		return out, nil
	}
	if up.list {
		return reply(answers), nil
	}
	return reply(answers[0]), nil
}

// enter takes a place among the requests in work, and the model. An error is an
// answer already.
func (s *server) enter(ctx context.Context) (model *served, leave func(), err error) {
	select {
	case s.slots <- struct{}{}:
	default:
		return nil, nil, refusal(errs.Permanentf(overloaded, "%d requests are in work already: try again in a second", cap(s.slots)))
	}
	ctx, cancel := context.WithTimeout(ctx, s.c.Timeout)
	defer cancel()
	model, giveBack, err := s.await(ctx)
	if err != nil {
		<-s.slots
		return nil, nil, problem(err)
	}
	return model, func() { giveBack(); <-s.slots }, nil
}

// noLogHeader, with the value "off", keeps a request out of the prediction log.
// Rollouts send it with their checks, which are no traffic and must not look
// like drift. Whoever may call the detector may send it, so what it kept out is
// counted: litterloop_log_skipped_total.
const noLogHeader = "Litterloop-Log"

// answer detects on one photo and logs it.
func (s *server) answer(ctx context.Context, model *served, p *photo, q detector.Query, from *http.Request) (Answer, error) {
	if err := s.open(ctx, p); err != nil {
		return Answer{}, err
	}
	r, err := model.Detect(ctx, p.data, q)
	if err != nil {
		return Answer{}, err
	}
	a := model.answer(uuid.Must(uuid.NewV7()).String(), p.name, r)
	s.metrics.answered(ctx, r)
	steps(ctx, a.ID, r, s.d.Now())
	switch {
	case s.log == nil:
	case from.Header.Get(noLogHeader) == "off":
		s.metrics.skipped.Inc()
	default:
		s.log.Add(model.row(a, r, len(p.data), s.c.Revision, traceID(ctx), s.d.Now()), p.data)
	}
	return a, nil
}

// picture is the media type of the annotated photo that was asked for; "" is
// none.
func picture(r *http.Request, o DetectOptions) string {
	switch {
	case accepts(r, func(kind string) bool { return kind == "image/png" }):
		return "image/png"
	case o.Annotate, accepts(r, func(kind string) bool { return kind == "image/jpeg" }):
		return "image/jpeg"
	}
	return ""
}

// accepts reports whether what the client likes best is of a kind.
func accepts(r *http.Request, is func(kind string) bool) bool {
	best, _, _ := strings.Cut(r.Header.Get("Accept"), ",")
	kind, _, err := mime.ParseMediaType(best)
	return err == nil && is(kind)
}

// drawn answers the photo with its boxes.
func (s *server) drawn(photo []byte, a Answer, kind string) (*huma.StreamResponse, error) {
	im := new(imaging.Image)
	if err := imaging.DecodeInto(im, photo, imaging.Options{MaxPixels: s.c.MaxPixels}); err != nil {
		return nil, err
	}
	out, err := annotate.Draw(im, a.Detections)
	if err != nil {
		return nil, err
	}
	var buf bytes.Buffer
	if kind == "image/png" {
		err = png.Encode(&buf, out)
	} else {
		err = jpeg.Encode(&buf, out, &jpeg.Options{Quality: 90})
	}
	if err != nil {
		return nil, fmt.Errorf("encode the annotated photo: %w", err)
	}
	return &huma.StreamResponse{Body: func(ctx huma.Context) {
		ctx.SetHeader("Content-Type", kind)
		ctx.SetHeader("X-Prediction-Id", a.ID)
		_, _ = ctx.BodyWriter().Write(buf.Bytes()) // the client may be gone
	}}, nil
}

func reply(v any) *huma.StreamResponse {
	return &huma.StreamResponse{Body: func(ctx huma.Context) {
		ctx.SetHeader("Content-Type", "application/json")
		// The client may be gone; there is nobody to tell.
		_ = json.NewEncoder(ctx.BodyWriter()).Encode(v)
	}}
}
