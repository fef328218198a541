package deploy_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/litterloop/litterloop/functions/deploy"
	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/event"
	"github.com/litterloop/litterloop/shared/rollout"
)

type roller func(model string, version int) (rollout.Rollout, error)

func (r roller) Run(_ context.Context, model string, version int) (rollout.Rollout, error) {
	return r(model, version)
}

func TestHandle(t *testing.T) {
	away := errors.New("away")
	for name, test := range map[string]struct {
		data      string
		err       error
		permanent errs.Code
		ran       bool
	}{
		"rolls out":        {data: `{"model":"litter","version":3}`, ran: true},
		"tries again":      {data: `{"model":"litter","version":3}`, err: away, ran: true},
		"not JSON":         {data: `{`, permanent: deploy.CodeBadEvent},
		"names no model":   {data: `{"version":3}`, permanent: deploy.CodeBadEvent},
		"names no version": {data: `{"model":"litter"}`, permanent: deploy.CodeBadEvent},
	} {
		t.Run(name, func(t *testing.T) {
			ran := false
			f := deploy.New(roller(func(model string, version int) (rollout.Rollout, error) {
				ran = model == "litter" && version == 3
				return rollout.Rollout{State: rollout.RolledBack}, test.err
			}), time.Now, slog.New(slog.NewTextHandler(io.Discard, nil)))
			err := f.Handle(t.Context(), event.Event{Type: event.Deploy, Data: json.RawMessage(test.data)})
			if ran != test.ran {
				t.Errorf("ran: %v", ran)
			}
			if code, _ := errs.Reason(err); code != test.permanent || test.err != nil && !errors.Is(err, test.err) {
				t.Errorf("got %v", err)
			}
		})
	}
}
