package service

import (
	"context"
	"fmt"
	"sync"

	"github.com/litterloop/litterloop/shared/errs"
)

// PredictBody is the request of Vertex AI's container contract.
type PredictBody struct {
	Instances  []Instance `json:"instances" minItems:"1" maxItems:"64"`
	Parameters *Options   `json:"parameters,omitempty"`
}

// Instance is one photo.
type Instance struct {
	Content []byte `json:"content,omitempty" doc:"The photo's bytes in base64"`
	B64     []byte `json:"b64,omitempty" doc:"The same, as some clients name it"`
	URI     string `json:"uri,omitempty" doc:"Or where it lies: gs://BUCKET/OBJECT"`
}

type predictOutput struct {
	Body struct {
		Predictions []Answer `json:"predictions" doc:"One an instance, in their order"`
	}
}

func (s *server) predict(ctx context.Context, in *wire) (*predictOutput, error) {
	model, leave, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	ctx, cancel := context.WithTimeout(ctx, s.c.Timeout)
	defer cancel()
	o := defaults()
	body := PredictBody{Parameters: &o}
	var text []byte
	err = s.atDesk(ctx, in.request, func() (err error) {
		text, err = s.body(in.request)
		return err
	})
	if err != nil {
		return nil, refusal(err)
	}
	leaveDesk := sync.OnceFunc(s.desks.leave)
	defer leaveDesk()
	if err := strict(text, &body); err != nil {
		return nil, problem(err)
	}
	if n := len(body.Instances); n < 1 || n > maxPhotos {
		return nil, problem(errs.Permanentf(requestInvalid, "%d instances: give 1 to %d", n, maxPhotos))
	}
	q, err := o.query(model.Spec().Classes)
	if err != nil {
		return nil, problem(err)
	}
	out := new(predictOutput)
	for k, i := range body.Instances {
		if len(i.B64) > 0 {
			i.Content = i.B64
		}
		p, err := PhotoBody{i.Content, i.URI}.photo()
		if err != nil {
			return nil, problem(fmt.Errorf("instance %d: %w", k, err))
		}
		if p.named() {
			leaveDesk()
		}
		a, err := s.answer(ctx, model, &p, q, in.request)
		if err != nil {
			return nil, problem(fmt.Errorf("instance %d: %w", k, err))
		}
		out.Body.Predictions = append(out.Body.Predictions, a)
	}
	return out, nil
}
