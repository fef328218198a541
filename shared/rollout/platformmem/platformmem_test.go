package platformmem_test

import (
	"io"
	"net/http"
	"testing"

	"github.com/litterloop/litterloop/shared/rollout"
	"github.com/litterloop/litterloop/shared/rollout/platformmem"
	"github.com/litterloop/litterloop/shared/rollout/platformtest"
)

func TestConformance(t *testing.T) {
	platformtest.Run(t, func(t *testing.T) platformtest.Harness {
		p := platformmem.New(func(r rollout.Revision) http.Handler {
			if r.Env["BROKEN"] != "" {
				return nil
			}
			return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, r.Env["NAME"]) })
		})
		return platformtest.Harness{Platform: p, Client: p.Client()}
	})
}
