package service

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/errs"
)

// Feedback is a person's correction of a prediction. It lies under
// feedback/dt=YYYY-MM-DD/ID-HASH.json of the predictions bucket.
type Feedback struct {
	ID      string        `json:"id" doc:"Of the answer that is corrected" example:"0198c0de-0000-7000-8000-000000000000"`
	Boxes   []FeedbackBox `json:"boxes" maxItems:"30000" doc:"Every object on the photo; an empty list says that there is none"`
	Author  string        `json:"author,omitempty" maxLength:"200" doc:"Who says so"`
	Comment string        `json:"comment,omitempty" maxLength:"2000"`
}

// FeedbackBox is an object as a person sees it.
type FeedbackBox struct {
	Box   [4]float64 `json:"box" doc:"x1, y1, x2, y2 in pixels of the displayed photo"`
	Class string     `json:"class" doc:"Name of the class; may be one that the model does not know" maxLength:"200" minLength:"1"`
}

// kept is a correction as it is stored.
type kept struct {
	Feedback
	Model    ModelRef  `json:"model"` // that serves now; the log says which one answered
	Received time.Time `json:"received"`
}

type feedbackInput struct{ Body Feedback }

type feedbackOutput struct {
	Body struct {
		ID     string `json:"id"`
		Object string `json:"object" doc:"Where the correction lies"`
	}
}

// feedback stores a correction before it answers.
func (s *server) feedback(ctx context.Context, in *feedbackInput) (*feedbackOutput, error) {
	if s.store == nil {
		return nil, problem(errs.Permanentf(feedbackOff, "this service keeps no log (PREDICTION_LOG=off), so there is nothing to correct"))
	}
	ctx, cancel := context.WithTimeout(ctx, s.c.Timeout)
	defer cancel()
	model, giveBack, err := s.await(ctx)
	if err != nil {
		return nil, problem(err)
	}
	defer giveBack()
	f := in.Body
	id, err := uuid.Parse(f.ID)
	if err != nil || id.Version() != 7 {
		return nil, problem(errs.Permanentf(feedbackBad, "id %q is not that of an answer", f.ID))
	}
	for i, b := range f.Boxes {
		if !(b.Box[0] >= 0 && b.Box[1] >= 0 && b.Box[2] > b.Box[0] && b.Box[3] > b.Box[1]) {
			return nil, problem(errs.Permanentf(feedbackBad, "box %d is %v: give x1, y1, x2, y2 with x1 < x2 and y1 < y2", i, b.Box))
		}
	}
	content, err := json.Marshal(f)
	if err != nil {
		return nil, problem(err)
	}
	sum := sha256.Sum256(content)
	seconds, nanos := id.Time().UnixTime() // the day of the prediction, so that both lie together
	day := time.Unix(seconds, nanos).UTC().Format("2006-01-02")
	name := fmt.Sprintf("feedback/dt=%s/%s-%s.json", day, id, hex.EncodeToString(sum[:6]))
	document, err := json.MarshalIndent(kept{f, model.ref(), s.d.Now().UTC()}, "", "  ")
	if err != nil {
		return nil, problem(err)
	}
	_, err = s.store.Write(ctx, name, bytes.NewReader(slices.Concat(document, []byte("\n"))), blob.WriteOptions{IfGeneration: blob.Absent, ContentType: "application/json"})
	if err != nil && !errors.Is(err, errs.Conflict) { // a conflict is the same correction once more
		return nil, problem(fmt.Errorf("keep the correction: %w", err))
	}
	out := new(feedbackOutput)
	out.Body.ID, out.Body.Object = id.String(), name
	return out, nil
}
