// Package mlflow copies runs and registered models between tracking servers that
// speak MLflow's REST API, and to and from directories.
//
// What was copied carries the tags below, by which a copy that is repeated, or
// goes on after it was killed, finds what is there already.
package mlflow

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Tags of what was copied.
const (
	tagRun     = "litterloop.copied.run"     // the run that it is a copy of
	tagDigest  = "litterloop.copied.digest"  // of that run, set when all of it was copied
	tagVersion = "litterloop.copied.version" // the version that it is a copy of
	tagParent  = "mlflow.parentRunId"
)

// Tag is a key and a value: a tag, or a run's parameter.
type Tag struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

func valueOf(tags []Tag, key string) string {
	if i := slices.IndexFunc(tags, func(t Tag) bool { return t.Key == key }); i >= 0 {
		return tags[i].Value
	}
	return ""
}

// Experiment is an experiment as the protocol has it.
type Experiment struct {
	ID        string `json:"experiment_id"`
	Name      string `json:"name"`
	Lifecycle string `json:"lifecycle_stage"`
	Tags      []Tag  `json:"tags,omitempty"`
}

// Info is what a run is, as the protocol has it. Times are Unix milliseconds.
type Info struct {
	ID          string `json:"run_id"`
	Name        string `json:"run_name"`
	Experiment  string `json:"experiment_id"`
	User        string `json:"user_id,omitempty"`
	Status      string `json:"status"`
	Start       int64  `json:"start_time"`
	End         int64  `json:"end_time,omitempty"`
	Lifecycle   string `json:"lifecycle_stage"`
	ArtifactURI string `json:"artifact_uri"`
}

// Metric is one point; Value is a JSON number, or "NaN".
type Metric struct {
	Key   string          `json:"key"`
	Value json.RawMessage `json:"value"`
	Step  int64           `json:"step"`
	Time  int64           `json:"timestamp"`
}

// Run is a run with every point of its metrics.
type Run struct {
	Info    Info              `json:"info"`
	Params  []Tag             `json:"params,omitempty"`
	Tags    []Tag             `json:"tags,omitempty"`
	Metrics []Metric          `json:"metrics,omitempty"`
	Inputs  []json.RawMessage `json:"dataset_inputs,omitempty"`
}

// origin is the id of the run that r is a copy of, however often copied; its own
// when it is none.
func (r Run) origin() string {
	if id := valueOf(r.Tags, tagRun); id != "" {
		return id
	}
	return r.Info.ID
}

// digest tells whether a run changed since it was copied.
func (r Run) digest() (string, error) {
	r.Tags = slices.DeleteFunc(slices.Clone(r.Tags), func(t Tag) bool { return t.Key == tagDigest })
	data, err := json.Marshal(r)
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:16]), err
}

// Model is a registered model.
type Model struct {
	Name        string  `json:"name"`
	Description string  `json:"description,omitempty"`
	Tags        []Tag   `json:"tags,omitempty"`
	Aliases     []Alias `json:"aliases,omitempty"`
}

// Alias is a name for one version of a model.
type Alias struct {
	Alias   string `json:"alias"`
	Version string `json:"version"`
}

// Version is one version of a registered model.
type Version struct {
	Name        string `json:"name"`
	Version     string `json:"version"`
	Created     int64  `json:"creation_timestamp"` // Unix milliseconds
	Stage       string `json:"current_stage,omitempty"`
	Description string `json:"description,omitempty"`
	Source      string `json:"source"`
	Location    string `json:"location,omitempty"` // where its files lie
	Run         string `json:"run_id,omitempty"`
	Tags        []Tag  `json:"tags,omitempty"`
}

// origin names the version that v is a copy of, whatever its number became.
func (v Version) origin() string {
	if o := valueOf(v.Tags, tagVersion); o != "" {
		return o
	}
	return fmt.Sprintf("%s/%s of %s at %d", v.Name, v.Version, v.Run, v.Created)
}

// File is a file below an artifact URI.
type File struct {
	Path string // relative, with slashes
	Size int64
}

// artifactScheme begins the URIs of files that servers and directories hand out.
const artifactScheme = "mlflow-artifacts:/"

// held is the path of a file or directory that a server itself holds.
func held(uri string) (path string, ok bool) {
	path, ok = strings.CutPrefix(uri, artifactScheme)
	return strings.Trim(path, "/"), ok
}

// Files reads and writes artifacts by their URIs. List goes into directories; a
// URI that names nothing has no files.
type Files interface {
	List(ctx context.Context, uri string) ([]File, error)
	Open(ctx context.Context, uri, path string) (io.ReadCloser, error)
	Put(ctx context.Context, uri, path string, r io.Reader, size int64) error
}

// Source is where runs and models are copied from. What was deleted is not seen.
type Source interface {
	Files
	Experiments(ctx context.Context) ([]Experiment, error)
	// Runs are the ids of an experiment's runs, the oldest first; filter is in
	// the protocol's grammar.
	Runs(ctx context.Context, experiment, filter string) ([]string, error)
	Run(ctx context.Context, id string) (Run, error)
	Models(ctx context.Context) ([]Model, error)
	// Versions are a model's versions, the oldest first.
	Versions(ctx context.Context, model string) ([]Version, error)
}

// Destination is where they are copied to. Each call may be repeated.
type Destination interface {
	// PutRun copies a run and its files; changed is false when all was there.
	PutRun(ctx context.Context, e Experiment, r Run, from Files) (changed bool, err error)
	// PutModel copies a model with its versions and aliases; the runs that they
	// came from were put before. notes tell what came out otherwise than in the
	// source.
	PutModel(ctx context.Context, m Model, versions []Version, from Files) (changed int, notes []string, err error)
}

// Clash is something that the destination has already, of another origin, or
// that it refuses.
type Clash struct{ What string }

func (c *Clash) Error() string { return c.What }

func clashf(format string, args ...any) error { return &Clash{fmt.Sprintf(format, args...)} }

// copyFiles copies what is missing or has another size, and counts it.
func copyFiles(ctx context.Context, from Files, fromURI string, to Files, toURI string) (n int, err error) {
	files, err := from.List(ctx, fromURI)
	if err != nil {
		return 0, fmt.Errorf("list %s: %w", fromURI, err)
	}
	if len(files) == 0 {
		return 0, nil
	}
	there, err := to.List(ctx, toURI)
	if err != nil {
		return 0, fmt.Errorf("list %s: %w", toURI, err)
	}
	for _, f := range files {
		if slices.Contains(there, f) {
			continue
		}
		r, err := from.Open(ctx, fromURI, f.Path)
		if err != nil {
			return n, fmt.Errorf("read %s/%s: %w", fromURI, f.Path, err)
		}
		err = to.Put(ctx, toURI, f.Path, r, f.Size)
		r.Close()
		if err != nil {
			return n, fmt.Errorf("write %s/%s: %w", toURI, f.Path, err)
		}
		n++
	}
	return n, nil
}
