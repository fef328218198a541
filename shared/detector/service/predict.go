package service

import (
	"context"
	"fmt"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/litterloop/litterloop/shared/errs"
)

// predictInput is the request of Vertex AI's container contract.
type predictInput struct {
	Body struct {
		Instances  []Instance `json:"instances" minItems:"1" maxItems:"64"`
		Parameters *Options   `json:"parameters,omitempty"`
	}
	request *http.Request
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

// Resolve keeps the request.
func (i *predictInput) Resolve(ctx huma.Context) []error {
	i.request, _ = humago.Unwrap(ctx)
	return nil
}

func (s *server) predict(ctx context.Context, in *predictInput) (*predictOutput, error) {
	ctx, model, leave, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	o := Options{Conf: 0.25, IoU: 0.7, MaxDet: 300}
	if in.Body.Parameters != nil {
		o = *in.Body.Parameters // huma filled in the defaults
	}
	out := new(predictOutput)
	for k, i := range in.Body.Instances {
		p := photo{i.URI, i.Content}
		if len(i.B64) > 0 {
			p.data = i.B64
		}
		if i.URI != "" {
			if p.data, err = s.fetch(ctx, i.URI); err != nil {
				return nil, problem(fmt.Errorf("instance %d: %w", k, err))
			}
		}
		if len(p.data) == 0 {
			return nil, problem(errs.Permanentf(bodyEmpty, `instance %d holds no photo: give "content" (base64) or "uri"`, k))
		}
		a, err := s.answer(ctx, model, p, o.query(), in.request)
		if err != nil {
			return nil, problem(fmt.Errorf("instance %d: %w", k, err))
		}
		out.Body.Predictions = append(out.Body.Predictions, a)
	}
	return out, nil
}
