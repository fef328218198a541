// Package registry keeps which models exist, which of their versions exist and
// which version each alias names, in MLflow's terms, as documents on a bucket:
//
//	registry/MODEL/model.json           aliases and the history of their moves
//	registry/MODEL/versions/N.json      one version; N has eight digits
//	registry/MODEL/history/FIRST.json   older moves, a hundred a document
//
// Every change is one conditional write of one document, so any number of
// writers may work at once and be killed at any time.
package registry

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/errs"
)

// Aliases that the loop moves.
const (
	Candidate = "candidate" // newest version that passed its gate
	Staging   = "staging"   // version that takes all traffic
)

// Reason codes of the registry's permanent errors.
const (
	CodeBadModelName errs.Code = "model-name"
	CodeBadAlias     errs.Code = "alias-name"
	CodeBadVersion   errs.Code = "model-version"
	CodeBadURI       errs.Code = "model-uri"
)

// Registry reads and changes the documents of one bucket. Safe for concurrent
// use.
type Registry struct {
	bucket blob.Bucket
	now    func() time.Time
}

// New returns the registry kept in b.
func New(b blob.Bucket, now func() time.Time) *Registry { return &Registry{bucket: b, now: now} }

// Model is the document of a registered model.
type Model struct {
	Name    string            `json:"name"`
	Created time.Time         `json:"created"`
	Updated time.Time         `json:"updated"`
	Tags    map[string]string `json:"tags,omitempty"`
	Aliases map[string]int    `json:"aliases,omitempty"`
	Moves   []Move            `json:"moves,omitempty"` // newest last; older ones are in history/
}

// Move is one change of an alias. From is 0 when the alias was new, To is 0
// when it was removed.
type Move struct {
	Sequence int       `json:"sequence"` // 1, 2, … for each model
	Alias    string    `json:"alias"`
	From     int       `json:"from,omitempty"`
	To       int       `json:"to,omitempty"`
	Who      string    `json:"who"`
	Why      string    `json:"why"`
	Time     time.Time `json:"time"`
}

// MLflow's rules for names: its client refuses others, and models:/ URIs could
// not tell them from versions.
var (
	modelName = regexp.MustCompile(`^[^/:\\\x00-\x1f]{1,200}$`)
	aliasName = regexp.MustCompile(`^[\w-]{1,255}$`)
	notAlias  = regexp.MustCompile(`^(?i:latest|v\d+)$`)
)

func checkModel(name string) error {
	if !modelName.MatchString(name) || name == "." || name == ".." {
		return errs.Permanentf(CodeBadModelName, "model name %q: use 1 to 200 characters without / : or control characters", name)
	}
	return nil
}

func checkAlias(alias string) error {
	if !aliasName.MatchString(alias) || notAlias.MatchString(alias) {
		return errs.Permanentf(CodeBadAlias, "alias %q: use letters, digits, _ and -, but neither latest nor v and a number", alias)
	}
	return nil
}

func prefix(model string) string   { return "registry/" + model + "/" }
func document(model string) string { return prefix(model) + "model.json" }

// Model returns a registered model's document; errs.NotFound when no version of
// it was ever created.
func (r *Registry) Model(ctx context.Context, model string) (Model, error) {
	if err := checkModel(model); err != nil {
		return Model{}, err
	}
	var m Model
	if _, err := blob.ReadJSON(ctx, r.bucket, document(model), &m); err != nil {
		return Model{}, fmt.Errorf("registered model %q: %w", model, err)
	}
	return m, nil
}

// ensureModel creates the model's document when it is missing.
func (r *Registry) ensureModel(ctx context.Context, model string) error {
	if err := checkModel(model); err != nil {
		return err
	}
	if _, err := r.bucket.Stat(ctx, document(model)); !errors.Is(err, errs.NotFound) {
		return err
	}
	now := r.now().UTC()
	_, err := blob.WriteJSON(ctx, r.bucket, document(model), Model{Name: model, Created: now, Updated: now}, blob.Absent)
	if errors.Is(err, errs.Conflict) {
		return nil
	}
	return err
}
