// Package event holds what travels between the loop's functions, and decodes it
// from whatever HTTP body carried it.
package event

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// Type names what happened; it is the message attribute "type".
type Type string

// The loop's events. ObjectFinalized comes from Cloud Storage, the rest is ours.
const (
	ObjectFinalized Type = "object-finalized"
	Train           Type = "train"
	Register        Type = "register"
	Deploy          Type = "deploy"
	Retrain         Type = "retrain"
	Alert           Type = "alert"
)

// Event is one thing that happened. Its identity is ours, not the bus's: the
// same thing published twice has one ID, so every handler can recognise it.
type Event struct {
	ID    string
	Type  Type
	Time  time.Time
	Trace map[string]string // W3C trace context headers
	Data  json.RawMessage   // the JSON of the type's struct
}

// New builds an event whose ID is derived from its type and identity, the
// parts that make it one happening ("train", dataset id, policy …).
func New(t Type, now time.Time, data any, identity ...string) (Event, error) {
	p, err := json.Marshal(data)
	if err != nil {
		return Event{}, fmt.Errorf("encode %s event: %w", t, err)
	}
	sum := sha256.Sum256([]byte(string(t) + "\x00" + strings.Join(identity, "\x00")))
	return Event{ID: hex.EncodeToString(sum[:12]), Type: t, Time: now.UTC(), Data: p}, nil
}

// Object is the data of ObjectFinalized.
type Object struct {
	Bucket     string `json:"bucket"`
	Name       string `json:"name"`
	Generation int64  `json:"generation,string"`
}

// TrainData asks for one training (events Train and Retrain): on which data set
// version, and why.
type TrainData struct {
	Dataset string   `json:"dataset"`           // data set version id
	Trigger string   `json:"trigger"`           // "validated", "drift" or "manual"
	Reasons []string `json:"reasons,omitempty"` // reason codes of the decision
	Ledger  string   `json:"ledger,omitempty"`  // ledger entry of the decision
}

// RegisterData says that a run's model package is complete (event Register), or
// that the run failed for good when Failed is not empty.
type RegisterData struct {
	Run    string `json:"run"`
	Failed string `json:"failed,omitempty"`
}

// DeployData asks for a registered version to be rolled out (event Deploy).
type DeployData struct {
	Model   string `json:"model"`
	Version int    `json:"version"`
}

// AlertData tells people something (event Alert).
type AlertData struct {
	Code    string            `json:"code"` // errs.Code or a reason code of a decision
	Subject string            `json:"subject"`
	Message string            `json:"message"` // what happened, where, what to do
	Links   map[string]string `json:"links,omitempty"`
}
