// Package tracking keeps experiments, runs, parameters, tags, metrics and logged
// models in MLflow's terms, as documents on a bucket:
//
//	tracking/experiments.json               every experiment
//	tracking/runs/RUN/run.json              one run: status, parameters, tags, latest metrics
//	tracking/runs/RUN/metrics/….json        its points, compacted
//	tracking/tail/RUN/SEGMENT.json          points not compacted yet, one object a batch
//	tracking/tail/RUN/changed               the index may not tell the run's newest state
//	tracking/models/MODEL.json              one logged model
//	tracking/index/manifest.json, CHUNK     what searches read
//	artifacts/EXPERIMENT/RUN/artifacts/…    files
//
// A document changes by compare-and-swap, a segment never changes, so any
// number of writers may work at once and be killed at any time.
package tracking

import (
	"strings"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

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

	index    *index
	segments *lru.Cache[string, []Metric]    // by object
	models   *lru.Cache[string, LoggedModel] // by object and generation
}

// New returns the store kept in b.
func New(b blob.Bucket, now func() time.Time) *Store {
	s := &Store{bucket: b, now: now, index: newIndex()}
	s.segments, _ = lru.New[string, []Metric](cachedSegments) // fails of a size below 1 alone
	s.models, _ = lru.New[string, LoggedModel](cachedModels)
	return s
}

// What a store keeps in memory of objects that it read, to read them once.
const (
	cachedSegments = 2048
	cachedModels   = 4096
)

// Lifecycle stages of experiments and runs.
const (
	Active  = "active"
	Deleted = "deleted"
)

// View chooses by lifecycle stage.
type View string

// Views.
const (
	ActiveOnly  View = "ACTIVE_ONLY"
	DeletedOnly View = "DELETED_ONLY"
	All         View = "ALL"
)

func (v View) shows(lifecycle string) bool {
	return v == All || (v == DeletedOnly) == (lifecycle == Deleted)
}

func (s *Store) millis() int64 { return s.now().UnixMilli() }

// ArtifactScheme begins the URIs that a tracking server resolves to its own
// artifact root, artifacts/ of the bucket.
const ArtifactScheme = "mlflow-artifacts:/"

// ArtifactObject returns the object, or the prefix of objects, that an artifact
// URI names; ok is false when it lies elsewhere.
func ArtifactObject(uri string) (object string, ok bool) {
	rest, ok := strings.CutPrefix(uri, ArtifactScheme)
	return artifactRoot + strings.Trim(rest, "/"), ok
}

const artifactRoot = "artifacts/"

// merge adds src to *dst.
func merge(dst *map[string]string, src map[string]string) {
	if *dst == nil {
		*dst = make(map[string]string, len(src))
	}
	for k, v := range src {
		(*dst)[k] = v
	}
}
