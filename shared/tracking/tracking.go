// Package tracking keeps experiments, runs, parameters, tags and metrics in
// MLflow's terms, as documents on a bucket:
//
//	tracking/experiments/ID.json
//	tracking/runs/RUN/run.json               status, parameters, tags
//	tracking/runs/RUN/metrics/SEGMENT.json   points, one object a batch
//	artifacts/EXPERIMENT/RUN/artifacts/…     files
//
// A document changes by compare-and-swap, a segment never changes, so any
// number of writers may work at once and be killed at any time.
package tracking

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"time"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/errs"
)

// Reason codes of the store's permanent errors.
const (
	CodeBadName      errs.Code = "tracking-name"
	CodeParamChanged errs.Code = "param-changed"
)

// Store reads and changes the documents of one bucket. Safe for concurrent use.
type Store struct {
	bucket blob.Bucket
	now    func() time.Time
}

// New returns the store kept in b.
func New(b blob.Bucket, now func() time.Time) *Store { return &Store{bucket: b, now: now} }

// Lifecycle stages of experiments and runs.
const (
	Active  = "active"
	Deleted = "deleted"
)

// Experiment groups runs. Times are Unix milliseconds, as everywhere in MLflow.
type Experiment struct {
	ID               string            `json:"experiment_id"`
	Name             string            `json:"name"`
	ArtifactLocation string            `json:"artifact_location"`
	Lifecycle        string            `json:"lifecycle_stage"`
	Created          int64             `json:"creation_time"`
	Updated          int64             `json:"last_update_time"`
	Tags             map[string]string `json:"tags,omitempty"`
}

// ExperimentID derives an experiment's id from its name, so that a name is
// taken by writing one document. It looks like MLflow's own: a number.
func ExperimentID(name string) string {
	if name == "Default" {
		return "0" // what MLflow's clients use when they name none
	}
	sum := sha256.Sum256([]byte(name))
	return strconv.FormatUint(binary.BigEndian.Uint64(sum[:])%1e18, 10)
}

func experimentDocument(id string) string { return "tracking/experiments/" + id + ".json" }

// EnsureExperiment returns the experiment of that name, made when missing.
func (s *Store) EnsureExperiment(ctx context.Context, name string) (Experiment, error) {
	if name == "" || len(name) > 500 {
		return Experiment{}, errs.Permanentf(CodeBadName, "experiment name %q: use 1 to 500 bytes", name)
	}
	id := ExperimentID(name)
	e, err := s.Experiment(ctx, id)
	if !errors.Is(err, errs.NotFound) {
		return e, err
	}
	now := s.now().UnixMilli()
	e = Experiment{ID: id, Name: name, ArtifactLocation: artifactScheme + id, Lifecycle: Active, Created: now, Updated: now}
	if _, err := blob.WriteJSON(ctx, s.bucket, experimentDocument(id), e, blob.Absent); errors.Is(err, errs.Conflict) {
		return s.Experiment(ctx, id)
	} else if err != nil {
		return Experiment{}, fmt.Errorf("create experiment %q: %w", name, err)
	}
	return e, nil
}

// Experiment returns an experiment; errs.NotFound when there is none.
func (s *Store) Experiment(ctx context.Context, id string) (e Experiment, err error) {
	if err := checkID("experiment", id); err != nil {
		return Experiment{}, err
	}
	if _, err := blob.ReadJSON(ctx, s.bucket, experimentDocument(id), &e); err != nil {
		return Experiment{}, fmt.Errorf("experiment %s: %w", id, err)
	}
	return e, nil
}

// MLflow's rules for ids and for the keys of parameters, tags and metrics.
var (
	id  = regexp.MustCompile(`^[a-zA-Z0-9][\w-]{0,63}$`)
	key = regexp.MustCompile(`^[\w.\- :]+(/[\w.\- :]+)*$`)
)

func checkID(what, s string) error {
	if !id.MatchString(s) {
		return errs.Permanentf(CodeBadName, "%s id %q: use letters, digits, _ and -, at most 64", what, s)
	}
	return nil
}

func checkKey(what, s string) error {
	if len(s) > 250 || !key.MatchString(s) || dots.MatchString(s) {
		return errs.Permanentf(CodeBadName, "%s key %q: use letters, digits, _ - . : / and spaces, at most 250, no empty part and no . or ..", what, s)
	}
	return nil
}

// dots finds what MLflow refuses of paths: parts that normalisation would drop,
// and a name that begins with two dots.
var dots = regexp.MustCompile(`^\.\.|(^|/)\.{1,2}(/|$)`)
