package tracking

import (
	"context"
	"errors"
	"fmt"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/errs"
)

// Status of a run.
type Status string

// Statuses of a run. Only Running can still change.
const (
	Running  Status = "RUNNING"
	Finished Status = "FINISHED"
	Failed   Status = "FAILED"
	Killed   Status = "KILLED"
)

// Tags that MLflow's own clients and pages read.
const (
	TagSource = "mlflow.source.name"
	TagUser   = "mlflow.user"
	TagNote   = "mlflow.note.content" // shown as the run's description
)

// Run is a run's document. Times are Unix milliseconds.
type Run struct {
	ID          string            `json:"run_id"`
	Name        string            `json:"run_name"`
	Experiment  string            `json:"experiment_id"`
	Status      Status            `json:"status"`
	Start       int64             `json:"start_time"`
	End         int64             `json:"end_time,omitempty"`
	Lifecycle   string            `json:"lifecycle_stage"`
	ArtifactURI string            `json:"artifact_uri"`
	Params      map[string]string `json:"params,omitempty"`
	Tags        map[string]string `json:"tags,omitempty"`
}

// artifactScheme is resolved by a tracking server to its own artifact root,
// artifacts/ of the bucket.
const artifactScheme = "mlflow-artifacts:/"

// ArtifactPrefix returns the object prefix, ending in /, of a run's artifacts.
func ArtifactPrefix(experiment, run string) string {
	return "artifacts/" + experiment + "/" + run + "/artifacts/"
}

func runDocument(run string) string { return "tracking/runs/" + run + "/run.json" }

// CreateRun starts a run under an id of the caller's, or returns the run of that
// id when it exists.
func (s *Store) CreateRun(ctx context.Context, experiment, run, name string, tags map[string]string) (Run, error) {
	if err := errors.Join(checkID("experiment", experiment), checkID("run", run)); err != nil {
		return Run{}, err
	}
	for k := range tags {
		if err := checkKey("tag", k); err != nil {
			return Run{}, err
		}
	}
	r := Run{
		ID: run, Name: name, Experiment: experiment, Status: Running, Start: s.now().UnixMilli(), Lifecycle: Active,
		ArtifactURI: artifactScheme + experiment + "/" + run + "/artifacts",
		Tags:        tags,
	}
	if _, err := blob.WriteJSON(ctx, s.bucket, runDocument(run), r, blob.Absent); errors.Is(err, errs.Conflict) {
		return s.Run(ctx, run)
	} else if err != nil {
		return Run{}, fmt.Errorf("create run %s: %w", run, err)
	}
	return r, nil
}

// Run returns a run; errs.NotFound when there is none.
func (s *Store) Run(ctx context.Context, run string) (r Run, err error) {
	if err := checkID("run", run); err != nil {
		return Run{}, err
	}
	if _, err := blob.ReadJSON(ctx, s.bucket, runDocument(run), &r); err != nil {
		return Run{}, fmt.Errorf("run %s: %w", run, err)
	}
	return r, nil
}

// LogParams adds parameters to a run. They are written once: another value for
// a known key is a permanent error and nothing of the call is kept.
func (s *Store) LogParams(ctx context.Context, run string, params map[string]string) error {
	for k := range params {
		if err := checkKey("param", k); err != nil {
			return err
		}
	}
	return s.update(ctx, run, func(r *Run) error {
		changed := false
		for k, v := range params {
			old, known := r.Params[k]
			if known && old != v {
				return errs.Permanentf(CodeParamChanged, "parameter %q of run %s is %q and can't become %q", k, run, old, v)
			}
			changed = changed || !known
		}
		if !changed {
			return blob.ErrUnchanged
		}
		merge(&r.Params, params)
		return nil
	})
}

// SetTags adds tags to a run or replaces them.
func (s *Store) SetTags(ctx context.Context, run string, tags map[string]string) error {
	for k := range tags {
		if err := checkKey("tag", k); err != nil {
			return err
		}
	}
	return s.update(ctx, run, func(r *Run) error {
		merge(&r.Tags, tags)
		return nil
	})
}

// SetStatus moves a run to a status. Leaving Running sets its end; going back
// to it, as a job that was killed does when it goes on, clears it.
func (s *Store) SetStatus(ctx context.Context, run string, status Status) error {
	return s.update(ctx, run, func(r *Run) error {
		if r.Status == status {
			return blob.ErrUnchanged
		}
		r.Status, r.End = status, 0
		if status != Running {
			r.End = s.now().UnixMilli()
		}
		return nil
	})
}

func merge(dst *map[string]string, src map[string]string) {
	if *dst == nil {
		*dst = make(map[string]string, len(src))
	}
	for k, v := range src {
		(*dst)[k] = v
	}
}

// update changes a run that exists.
func (s *Store) update(ctx context.Context, run string, change func(*Run) error) error {
	if err := checkID("run", run); err != nil {
		return err
	}
	_, err := blob.Update(ctx, s.bucket, runDocument(run), func(r *Run) error {
		if r.ID == "" {
			return errs.NotFound
		}
		return change(r)
	})
	if err != nil {
		return fmt.Errorf("update run %s: %w", run, err)
	}
	return nil
}
