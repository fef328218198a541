package tracking

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/tracking/fault"
)

// Status of a run.
type Status string

// Statuses of a run. Only Running can still change.
const (
	Running   Status = "RUNNING"
	Scheduled Status = "SCHEDULED"
	Finished  Status = "FINISHED"
	Failed    Status = "FAILED"
	Killed    Status = "KILLED"
)

// Tags that MLflow's own clients and pages read.
const (
	TagSource  = "mlflow.source.name"
	TagUser    = "mlflow.user"
	TagNote    = "mlflow.note.content" // shown as the run's description
	TagRunName = "mlflow.runName"
)

// TagFailure says why the loop marked a run as failed.
const TagFailure = "failure"

// Run is what is known of a run but for its metrics. Times are Unix
// milliseconds.
type Run struct {
	ID          string            `json:"run_id"`
	Name        string            `json:"run_name"`
	Experiment  string            `json:"experiment_id"`
	User        string            `json:"user_id,omitempty"`
	Status      Status            `json:"status"`
	Start       int64             `json:"start_time"`
	End         int64             `json:"end_time,omitempty"`
	Lifecycle   string            `json:"lifecycle_stage"`
	Removed     int64             `json:"deleted_time,omitempty"`
	ArtifactURI string            `json:"artifact_uri"`
	Params      map[string]string `json:"params,omitempty"`
	Tags        map[string]string `json:"tags,omitempty"`
	Inputs      []DatasetInput    `json:"inputs,omitempty"`
	ModelInputs []string          `json:"model_inputs,omitempty"` // ids of logged models
	Outputs     []ModelOutput     `json:"outputs,omitempty"`
}

// document is a run's document.
type document struct {
	Run
	// Indexed tells that the index holds this state; see Fold.
	Indexed bool              `json:"indexed,omitempty"`
	Points  []Metric          `json:"points,omitempty"`  // logged together with parameters or tags
	Latest  map[string]Metric `json:"latest,omitempty"`  // of History
	History []string          `json:"history,omitempty"` // objects of compacted points
	Folded  []string          `json:"folded,omitempty"`  // segments that are in History, of those whose writer named them

	generation int64
}

// ArtifactPrefix returns the object prefix, ending in /, of a run's artifacts.
func ArtifactPrefix(experiment, run string) string {
	return artifactRoot + experiment + "/" + run + "/artifacts/"
}

func runPrefix(run string) string   { return "tracking/runs/" + run + "/" }
func runDocument(run string) string { return runPrefix(run) + "run.json" }

// CreateRun starts a run under an id of the caller's, or returns the run of that
// id when it exists.
func (s *Store) CreateRun(ctx context.Context, experiment, run, name string, tags map[string]string) (Run, error) {
	if err := errors.Join(checkID("experiment", experiment), checkID("run", run), checkTags(tags)); err != nil {
		return Run{}, err
	}
	r := Run{
		ID: run, Name: name, Experiment: experiment, Status: Running, Start: s.millis(), Lifecycle: Active,
		ArtifactURI: ArtifactScheme + experiment + "/" + run + "/artifacts", Tags: tags,
	}
	if err := s.mark(ctx, run); err != nil {
		return Run{}, err
	}
	if _, err := blob.WriteJSON(ctx, s.bucket, runDocument(run), document{Run: r}, blob.Absent); errors.Is(err, errs.Conflict) {
		return s.Run(ctx, run)
	} else if err != nil {
		return Run{}, fmt.Errorf("create run %s: %w", run, err)
	}
	return r, nil
}

// NewRun is what a client says of a run that it starts. Start is in Unix
// milliseconds; a run without a name is given one.
type NewRun struct {
	Experiment, User, Name string
	Start                  int64
	Tags                   map[string]string
}

// StartRun starts a run in an active experiment, under a new id.
func (s *Store) StartRun(ctx context.Context, n NewRun) (Run, error) {
	tagged := n.Tags[TagRunName]
	switch {
	case n.Name != "" && tagged != "" && n.Name != tagged:
		return Run{}, fault.Invalid("Both 'run_name' argument and 'mlflow.runName' tag are specified, but with different values "+
			"(run_name='%s', mlflow.runName='%s').", n.Name, tagged)
	case n.Name == "" && tagged != "":
		n.Name = tagged
	case n.Name == "":
		n.Name = randomName()
	}
	if err := checkTags(n.Tags); err != nil {
		return Run{}, err
	}
	fresh := uuid.New()
	r := Run{ID: hex.EncodeToString(fresh[:]), Name: n.Name, Experiment: n.Experiment, User: n.User, Status: Running, Start: n.Start, Lifecycle: Active}
	merge(&r.Tags, cutTags(n.Tags))
	r.Tags[TagRunName] = n.Name
	var experiment Experiment
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		experiment, err = s.Experiment(gctx, n.Experiment)
		if err != nil {
			return err
		}
		return checkActive(experiment)
	})
	g.Go(func() error { return s.mark(gctx, r.ID) })
	if err := g.Wait(); err != nil {
		return Run{}, err
	}
	r.ArtifactURI = experiment.ArtifactLocation + "/" + r.ID + "/artifacts"
	if _, err := blob.WriteJSON(ctx, s.bucket, runDocument(r.ID), document{Run: r}, blob.Absent); err != nil {
		return Run{}, fmt.Errorf("create run %s: %w", r.ID, err)
	}
	return r, nil
}

// Run returns a run without its metrics; errs.NotFound when there is none.
func (s *Store) Run(ctx context.Context, run string) (Run, error) {
	d, err := s.load(ctx, run)
	return d.Run, err
}

// load reads a run's document, with the lifecycle stage that its experiment's
// gives it.
func (s *Store) load(ctx context.Context, run string) (d document, err error) {
	var all catalogue
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) { d, err = s.fetch(gctx, run); return err })
	g.Go(func() (err error) { all, err = s.experiments(gctx); return err })
	if err := g.Wait(); err != nil {
		return document{}, err
	}
	d.Lifecycle = all.lifecycle(d.Run)
	return d, nil
}

func (s *Store) fetch(ctx context.Context, run string) (d document, err error) {
	if !id.MatchString(run) {
		return d, noRun(run)
	}
	generation, err := blob.ReadJSON(ctx, s.bucket, runDocument(run), &d)
	if errors.Is(err, errs.NotFound) {
		return d, noRun(run)
	}
	if err != nil {
		return d, fmt.Errorf("run %s: %w", run, err)
	}
	d.generation = generation
	return d, nil
}

func noRun(run string) error { return fault.Missing("Run with id=%s not found", run) }

// lifecycle is a run's stage: deleting an experiment deletes its runs, restoring
// it restores them.
func (c catalogue) lifecycle(r Run) string {
	e := c[r.Experiment]
	switch {
	case e.Lifecycle == Deleted:
		return Deleted
	case r.Removed != 0 && r.Removed <= e.Restored:
		return Active
	}
	return r.Lifecycle
}

// update changes a run that is there and active. change may run several times.
func (s *Store) update(ctx context.Context, run string, change func(*document) error) (Run, error) {
	return s.rewrite(ctx, run, func(d *document, stage string) error {
		if err := d.checkActive(stage); err != nil {
			return err
		}
		d.Lifecycle, d.Removed = Active, 0
		return change(d)
	})
}

func (d *document) checkActive(stage string) error {
	if stage != Active {
		return fault.Invalid("The run %s must be in the 'active' state. Current state is %s.", d.ID, stage)
	}
	return nil
}

// rewrite changes a run's document. stage is the lifecycle stage that the run's
// experiment gives it.
func (s *Store) rewrite(ctx context.Context, run string, change func(d *document, stage string) error) (Run, error) {
	if !id.MatchString(run) {
		return Run{}, noRun(run)
	}
	experiments := async(func() (catalogue, error) { return s.experiments(ctx) })
	d, err := blob.Update(ctx, s.bucket, runDocument(run), func(d *document) error {
		if d.ID == "" {
			return noRun(run)
		}
		all, err := experiments()
		if err != nil {
			return err
		}
		if err := change(d, all.lifecycle(d.Run)); err != nil {
			return err
		}
		if !d.Indexed {
			return nil
		}
		d.Indexed = false
		return s.mark(ctx, run)
	})
	if err != nil {
		return Run{}, fmt.Errorf("update run %s: %w", run, err)
	}
	return d.Run, nil
}

// async begins do and returns what waits for its result, every time the same.
func async[V any](do func() (V, error)) (wait func() (V, error)) {
	var (
		v    V
		err  error
		done = make(chan struct{})
	)
	go func() {
		defer close(done)
		v, err = do()
	}()
	return func() (V, error) {
		<-done
		return v, err
	}
}

func checkTags(tags map[string]string) error {
	for k := range tags {
		if err := checkKey("key", "key", k); err != nil {
			return err
		}
	}
	return nil
}

func cutTags(tags map[string]string) map[string]string {
	for k, v := range tags {
		if utf8.RuneCountInString(v) > maxTagValue {
			tags[k] = cut(v, maxTagValue)
		}
	}
	return tags
}
