// Package training keeps the book of trainings: which one is in flight, which
// waits for it, and what became of those before. One training runs at a time.
package training

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"
	"time"

	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/event"
)

// State of a training.
type State string

// States of a training. A registered one has a model version, whatever its gate
// said of it.
const (
	Running    State = "running"
	Registered State = "registered"
	Failed     State = "failed"
)

// Training is one training, from the decision to its end.
type Training struct {
	Run       string          `json:"run"`
	Dataset   string          `json:"dataset"` // data set version id
	Trigger   string          `json:"trigger"` // "validated", "drift" or "manual"
	Reasons   []string        `json:"reasons,omitempty"`
	Ledger    string          `json:"ledger,omitempty"` // ledger entry of the decision
	Recipe    json.RawMessage `json:"recipe"`           // as the policy had it at the decision
	Execution string          `json:"execution,omitempty"`
	Started   time.Time       `json:"started"`
	Ended     time.Time       `json:"ended,omitzero"`
	State     State           `json:"state"`
	Failure   string          `json:"failure,omitempty"`
	Version   int             `json:"version,omitempty"` // of the registered model
	Launch    Launch          `json:"launch"`
	Trace     string          `json:"trace,omitempty"` // W3C traceparent of the event that asked for it
}

// CodeBadRequest is the reason of a train event that can't be carried out.
const CodeBadRequest errs.Code = "train-request"

// New returns the training that answers a request, with its deterministic run
// id: the same decision on the same data and recipe is the same run, however
// often its event arrives.
func New(d event.TrainData, recipe json.RawMessage) (Training, error) {
	if d.Dataset == "" || strings.ContainsAny(d.Dataset, "/\x00") {
		return Training{}, errs.Permanentf(CodeBadRequest, "train event names data set version %q", d.Dataset)
	}
	if recipe = compact(recipe); len(recipe) == 0 || string(recipe) == "null" {
		recipe = json.RawMessage("{}") // the trainer's defaults
	}
	sum := sha256.New()
	for _, part := range []string{d.Dataset, string(recipe), d.Trigger, d.Ledger} {
		sum.Write([]byte(part))
		sum.Write([]byte{0})
	}
	return Training{
		Run:     hex.EncodeToString(sum.Sum(nil)[:16]), // MLflow's run ids: 32 hex digits
		Dataset: d.Dataset,
		Trigger: d.Trigger,
		Reasons: d.Reasons,
		Ledger:  d.Ledger,
		Recipe:  recipe,
	}, nil
}

// compact undoes the indentation that a recipe gets within a stored document.
func compact(recipe json.RawMessage) json.RawMessage {
	var out bytes.Buffer
	if err := json.Compact(&out, recipe); err != nil {
		return recipe // not JSON: encoding the training will say so
	}
	return out.Bytes()
}
