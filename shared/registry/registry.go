// Package registry keeps which models exist, which of their versions exist and
// which version each alias names, in MLflow's terms, as documents on a bucket:
//
//	registry/MODEL/model.json            aliases and the history of their moves, stages, what was deleted
//	registry/FOLDER/versions/N.json      one version; N has eight digits
//	registry/FOLDER/history/FIRST.json   older moves, a hundred a document
//
// A model's folder is its first name; it stays when the model is renamed. Every
// change is one conditional write of one document, so any number of writers may
// work at once and be killed at any time.
package registry

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/tracking/fault"
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

	versions *lru.Cache[string, Version] // by object and generation
	models   *lru.Cache[string, *document]
}

// cachedDocuments is how many documents of each kind stay in memory.
const cachedDocuments = 4096

// New returns the registry kept in b.
func New(b blob.Bucket, now func() time.Time) *Registry {
	r := &Registry{bucket: b, now: now}
	r.versions, _ = lru.New[string, Version](cachedDocuments) // fails of a size below 1 alone
	r.models, _ = lru.New[string, *document](cachedDocuments)
	return r
}

// Model is a registered model.
type Model struct {
	Name        string            `json:"name"`
	Description string            `json:"description,omitempty"`
	Created     time.Time         `json:"created"`
	Updated     time.Time         `json:"updated"`
	Tags        map[string]string `json:"tags,omitempty"`
	Aliases     map[string]int    `json:"aliases,omitempty"`
	Stages      map[int]Stage     `json:"stages,omitempty"` // of versions that have another than None
	Moves       []Move            `json:"moves,omitempty"`  // newest last; older ones are in history/
}

// Stage is where a version stands, in the terms of MLflow before aliases.
type Stage struct {
	Name string    `json:"name"` // one of Stages
	Set  time.Time `json:"set"`
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

// document is the document of a name.
type document struct {
	Model
	contents
	Epochs  int      `json:"epochs,omitempty"`  // newest epoch that was given to a model here
	Deleted bool     `json:"deleted,omitempty"` // nothing has this name
	Graves  []grave  `json:"graves,omitempty"`  // models that had it and can be restored, newest last
	Moved   *rename  `json:"moved,omitempty"`   // the model is on its way to another name, or has gone there
	Arrived []string `json:"arrived,omitempty"` // ids of the renames that ever ended here

	generation int64
}

// contents tell which versions of a folder are a model's.
type contents struct {
	Folder     string            `json:"folder,omitempty"`     // empty: the model's name
	Epoch      int               `json:"epoch,omitempty"`      // of the versions that count: one for each model that ever had the folder
	Removed    []int             `json:"removed,omitempty"`    // versions that were deleted
	Tombstones map[int]tombstone `json:"tombstones,omitempty"` // of those that can be restored
}

func (d *document) folder() string {
	if d.Folder != "" {
		return d.Folder
	}
	return d.Name
}

func (d *document) clone() *document {
	c := *d
	c.Tags, c.Aliases, c.Stages = maps.Clone(d.Tags), maps.Clone(d.Aliases), maps.Clone(d.Stages)
	c.Moves, c.Removed = slices.Clone(d.Moves), slices.Clone(d.Removed)
	c.Tombstones, c.Graves = maps.Clone(d.Tombstones), slices.Clone(d.Graves)
	return &c
}

// MLflow's rules for aliases: models:/ URIs could not tell others from versions.
var (
	aliasName = regexp.MustCompile(`^[\p{L}\p{N}\p{M}_-]+$`)
	notAlias  = regexp.MustCompile(`^[vV]\p{Nd}+$`)
)

const (
	maxModelName = 900 // bytes: an object's name has room for 1,024
	maxAlias     = 255 // characters
)

func checkModel(name string) error {
	norm := path.Clean(name)
	switch {
	case strings.TrimSpace(name) == "":
		return errs.Permanentf(CodeBadModelName, "Missing value for required parameter 'name'.")
	case strings.ContainsAny(name, "/:"):
		return errs.Permanentf(CodeBadModelName, "Invalid model name '%s'. Names cannot contain '/' or ':'.", name)
	case norm != name || norm == "." || strings.HasPrefix(norm, ".."):
		return errs.Permanentf(CodeBadModelName, "Invalid value %q for parameter 'name' supplied: Names may be treated as files in certain cases, "+
			"and must not resolve to other names when treated as such. This name would resolve to '%s'", name, norm)
	case len(name) > maxModelName:
		return errs.Permanentf(CodeBadModelName, "'name' exceeds the maximum length of %d bytes", maxModelName)
	case !utf8.ValidString(name) || strings.ContainsFunc(name, func(c rune) bool { return c < ' ' || c == '\\' || c == 0x7f }):
		return errs.Permanentf(CodeBadModelName, "Invalid model name %q. Names cannot contain control characters or backslashes.", name)
	}
	return nil
}

func checkAlias(alias string) error {
	switch {
	case alias == "":
		return errs.Permanentf(CodeBadAlias, "Registered model alias name cannot be empty.")
	case !aliasName.MatchString(alias):
		return errs.Permanentf(CodeBadAlias, "Invalid alias name: '%s'. Names may only contain alphanumerics, underscores (_), and dashes (-).", alias)
	case utf8.RuneCountInString(alias) > maxAlias:
		return errs.Permanentf(CodeBadAlias, "'Registered model alias name' exceeds the maximum length of %d characters", maxAlias)
	}
	return nil
}

func checkReserved(alias string) error {
	switch {
	case strings.EqualFold(alias, "latest"):
		return errs.Permanentf(CodeBadAlias, "'latest' alias name (case insensitive) is reserved.")
	case notAlias.MatchString(alias):
		return errs.Permanentf(CodeBadAlias, "Version alias name '%s' is reserved.", alias)
	}
	return nil
}

const root = "registry/"

func prefix(folder string) string    { return root + folder + "/" }
func documentOf(model string) string { return prefix(model) + "model.json" }
func noModel(model string) error {
	return fault.Missing("Registered Model with name=%s not found", model)
}
func taken(model string) error {
	return fault.Exists("Registered Model (name=%s) already exists.", model)
}
func (d *document) removed(n int) bool { return slices.Contains(d.Removed, n) }

// Model returns a registered model; errs.NotFound when there is none of that
// name.
func (r *Registry) Model(ctx context.Context, model string) (Model, error) {
	d, err := r.load(ctx, model)
	if err != nil {
		return Model{}, err
	}
	return d.Model, nil
}

// load returns the document of a model that is there.
func (r *Registry) load(ctx context.Context, model string) (*document, error) {
	if err := checkModel(model); err != nil {
		return nil, err
	}
	for {
		d, err := r.read(ctx, model)
		switch {
		case err != nil:
			return nil, fmt.Errorf("registered model %q: %w", model, err)
		case d.generation == blob.Absent || d.Deleted:
			return nil, noModel(model)
		case d.Moved == nil:
			return d, nil
		}
		if err := r.settle(ctx, d); err != nil {
			return nil, fmt.Errorf("finish renaming model %q: %w", model, err)
		}
	}
}

// read returns the document of a name; its generation is blob.Absent when there
// is none.
func (r *Registry) read(ctx context.Context, model string) (*document, error) {
	d := &document{}
	generation, err := blob.ReadJSON(ctx, r.bucket, documentOf(model), d)
	if errors.Is(err, errs.NotFound) {
		return &document{Model: Model{Name: model}}, nil
	}
	d.generation = generation
	return d, err
}

// write replaces d, or makes it; errs.Conflict when it changed since it was read.
func (r *Registry) write(ctx context.Context, d *document) error {
	generation, err := blob.WriteJSON(ctx, r.bucket, documentOf(d.Name), d, d.generation)
	if err == nil {
		d.generation = generation
	}
	return err
}

// update changes a model that is there, until nobody interferes.
// blob.ErrUnchanged of change leaves it.
func (r *Registry) update(ctx context.Context, model string, change func(d *document) error) (*document, error) {
	d, err := r.load(ctx, model)
	for {
		if err != nil {
			return nil, err
		}
		if err := change(d); errors.Is(err, blob.ErrUnchanged) {
			return d, nil
		} else if err != nil {
			return nil, err
		}
		if err := r.write(ctx, d); !errors.Is(err, errs.Conflict) || ctx.Err() != nil {
			return d, err
		}
		d, err = r.load(ctx, model)
	}
}
