package pages

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/litterloop/litterloop/shared/status"
)

// loopBody is where the loop stands.
type loopBody struct {
	status.Snapshot
	Stages  []status.Stage
	Missing string // what could not be read, and why
}

func (loopBody) title() string { return "The loop" }

// loop shows what could be read. A store that did not answer in time is no loop
// at all.
func (p *Pages) loop(r *http.Request) (string, any, error) {
	s, err := p.o.Loop(r.Context())
	b := loopBody{Snapshot: s, Stages: s.Stages()}
	switch {
	case errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled):
		return "", nil, err
	case err != nil:
		p.o.Log.WarnContext(r.Context(), "the loop was shown in part", "error", err)
		b.Missing = err.Error()
	}
	// Newest first.
	slices.Reverse(b.Batches)
	slices.Reverse(b.Trainings)
	slices.Reverse(b.Ledger)
	b.Ledger = b.Ledger[:min(len(b.Ledger), mostDecisions)]
	return "loop.html", b, nil
}

// mostDecisions are listed.
const mostDecisions = 20

// age is a number of seconds for people; nothing for none.
func age(seconds float64) string {
	if seconds < 1 {
		return ""
	}
	now := time.Unix(1<<32, 0)
	return ago(now, now.Add(-time.Duration(seconds*float64(time.Second))))
}
