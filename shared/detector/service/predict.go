package service

import (
	"context"
	"fmt"
)

// predictInput is the request of Vertex AI's container contract.
type predictInput struct {
	Body struct {
		Instances  []Instance `json:"instances" minItems:"1" maxItems:"64"`
		Parameters *Options   `json:"parameters,omitempty"`
	}
	wire
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

func (s *server) predict(ctx context.Context, in *predictInput) (*predictOutput, error) {
	model, leave, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	ctx, cancel := context.WithTimeout(ctx, s.c.Timeout)
	defer cancel()
	o := defaults()
	if in.Body.Parameters != nil {
		o = *in.Body.Parameters // huma filled in the defaults
	}
	q, err := o.query(model.Spec().Classes)
	if err != nil {
		return nil, problem(err)
	}
	out := new(predictOutput)
	for k, i := range in.Body.Instances {
		if len(i.B64) > 0 {
			i.Content = i.B64
		}
		p, err := PhotoBody{i.Content, i.URI}.photo()
		if err != nil {
			return nil, problem(fmt.Errorf("instance %d: %w", k, err))
		}
		a, err := s.answer(ctx, model, &p, q, in.request)
		if err != nil {
			return nil, problem(fmt.Errorf("instance %d: %w", k, err))
		}
		out.Body.Predictions = append(out.Body.Predictions, a)
	}
	return out, nil
}
