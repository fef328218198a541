package retrain

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/drift"
	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/training"
)

// stateDocument remembers between evaluations what neither the book of trainings
// nor the data sets tell.
const stateDocument = "retrain/state.json"

type state struct {
	Drift     *OpenDrift `json:"drift,omitempty"`
	Suspicion *suspicion `json:"suspicion,omitempty"`
	Request   *request   `json:"request,omitempty"` // the newest
	Alerted   *alerted   `json:"alerted,omitempty"`
}

// suspicion is drift that checks in a row found, and that is not open.
type suspicion struct {
	ModelVersion string    `json:"model_version"`
	Checks       int       `json:"checks"`
	To           time.Time `json:"to"` // the end of the newest one's window
}

// request is a training that was decided on.
type request struct {
	Entry     Entry `json:"entry"`
	Published bool  `json:"published"` // its event
}

// answers tells whether the request came of the very question.
func (r *request) answers(q question) bool {
	return r != nil && q.subject != "" && r.Entry.Inputs.Cause == q.cause && r.Entry.Inputs.Subject == q.subject
}

// awaited tells whether the training that was asked for has yet to begin.
func (r *request) awaited(p Policy, trainings []training.Training, now time.Time) bool {
	return r != nil && now.Sub(r.Entry.Created) < p.RequestTimeout &&
		!slices.ContainsFunc(trainings, func(t training.Training) bool { return t.Ledger == r.Entry.ID })
}

// alerted is the newest alert about drift.
type alerted struct {
	Code         string    `json:"code"`
	ModelVersion string    `json:"model_version"`
	Report       string    `json:"report"`
	At           time.Time `json:"at"`
}

// stored is the state and the generation it was read at.
type stored struct {
	doc        state
	bucket     blob.Bucket
	generation int64
}

func readState(ctx context.Context, b blob.Bucket) (*stored, error) {
	s := &stored{bucket: b}
	var err error
	s.generation, err = blob.ReadJSON(ctx, b, stateDocument, &s.doc)
	if err != nil && !errors.Is(err, errs.NotFound) {
		return nil, fmt.Errorf("read retrain state: %w", err)
	}
	return s, nil // generation 0 is blob.Absent
}

// write stores the state if nobody else did since it was read; errs.Conflict
// otherwise.
func (s *stored) write(ctx context.Context) error {
	generation, err := blob.WriteJSON(ctx, s.bucket, stateDocument, s.doc, s.generation)
	if err != nil {
		return fmt.Errorf("write retrain state: %w", err)
	}
	s.generation = generation
	return nil
}

// observe brings the open drift up to date with the trainings and with a check
// (nil for none), and tells whether that changed anything.
func (s *state) observe(p Policy, check *drift.Summary, trainings []training.Training) (changed bool) {
	if s.Drift != nil && answered(trainings, s.Drift.Since) {
		s.Drift, changed = nil, true
	}
	if check == nil {
		return changed
	}
	switch {
	case check.Verdict.Outcome == drift.Stable:
		if s.Drift != nil && s.Drift.ModelVersion != check.ModelVersion {
			s.Drift, changed = nil, true // another version serves, and what it sees is what it knows
		}
		if s.Suspicion != nil {
			s.Suspicion, changed = nil, true
		}
	case check.Verdict.Outcome == drift.Drifted && s.Drift == nil && !answered(trainings, check.Created):
		if check.Reference.Source == drift.Package && p.FirstChecks > 1 {
			if added := s.suspect(check); s.Suspicion.Checks < p.FirstChecks {
				return changed || added
			}
		}
		s.Drift, changed = &OpenDrift{Report: check.ID, Model: check.Model, ModelVersion: check.ModelVersion, Since: check.Created}, true
		s.Suspicion = nil
	}
	return changed
}

// suspect counts a check that found drift, and tells whether it did. A window that
// shares photos with the last one counted confirms nothing.
func (s *state) suspect(check *drift.Summary) bool {
	switch last := s.Suspicion; {
	case last == nil || last.ModelVersion != check.ModelVersion:
		s.Suspicion = &suspicion{check.ModelVersion, 1, check.Window.To}
	case check.Window.From.Before(last.To):
		return false
	default:
		s.Suspicion = &suspicion{check.ModelVersion, last.Checks + 1, check.Window.To}
	}
	return true
}

// answered tells whether a training that started at since or later has succeeded.
func answered(trainings []training.Training, since time.Time) bool {
	for _, t := range trainings {
		if t.State == training.Registered && !t.Started.Before(since) {
			return true
		}
	}
	return false
}
