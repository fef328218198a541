package tracking

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"unicode/utf8"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/tracking/fault"
)

// Experiment groups runs. Times are Unix milliseconds, as everywhere in MLflow.
type Experiment struct {
	ID               string            `json:"experiment_id"`
	Name             string            `json:"name"`
	ArtifactLocation string            `json:"artifact_location"`
	Lifecycle        string            `json:"lifecycle_stage"`
	Created          int64             `json:"creation_time"`
	Updated          int64             `json:"last_update_time"`
	Restored         int64             `json:"restored_time,omitempty"` // runs deleted before are active again
	Tags             map[string]string `json:"tags,omitempty"`
}

// catalogue is the document of all experiments, by id: one write takes a name,
// or gives it up for another.
type catalogue map[string]Experiment

const catalogueDocument = "tracking/experiments.json"

// DefaultExperiment is what MLflow's clients use when they name none.
const DefaultExperiment = "0"

// ExperimentID derives an experiment's id from its name. It looks like MLflow's
// own: a number.
func ExperimentID(name string) string {
	if name == "Default" {
		return DefaultExperiment
	}
	sum := sha256.Sum256([]byte(name))
	return strconv.FormatUint(binary.BigEndian.Uint64(sum[:])%1e18, 10)
}

// free returns the id that a new experiment of that name gets: its own, or when
// that belongs to one that was renamed, another.
func (c catalogue) free(name string) string {
	id := ExperimentID(name)
	for n := 1; ; n++ {
		if _, taken := c[id]; !taken {
			return id
		}
		id = ExperimentID(fmt.Sprintf("%s\x00%d", name, n))
	}
}

func (c catalogue) named(name string) (Experiment, bool) {
	// Seldom renamed, mostly found at once.
	if e, ok := c[ExperimentID(name)]; ok && e.Name == name {
		return e, true
	}
	for _, e := range c {
		if e.Name == name {
			return e, true
		}
	}
	return Experiment{}, false
}

func (c catalogue) get(experiment string) (Experiment, error) {
	if _, err := strconv.ParseInt(experiment, 10, 64); err != nil {
		return Experiment{}, fault.Invalid("Invalid experiment ID '%s'. Experiment ID must be a valid integer.", experiment)
	}
	e, ok := c[experiment]
	if !ok {
		return Experiment{}, fault.Missing("No Experiment with id=%s exists", experiment)
	}
	return e, nil
}

// first is the catalogue of a new store.
func (s *Store) first() catalogue {
	now := s.millis()
	return catalogue{DefaultExperiment: {
		ID: DefaultExperiment, Name: "Default", ArtifactLocation: ArtifactScheme + DefaultExperiment,
		Lifecycle: Active, Created: now, Updated: now,
	}}
}

// experiments reads the catalogue; the first reader of a new store makes it.
func (s *Store) experiments(ctx context.Context) (catalogue, error) {
	var c catalogue
	_, err := blob.ReadJSON(ctx, s.bucket, catalogueDocument, &c)
	if errors.Is(err, errs.NotFound) {
		c = s.first()
		if _, err = blob.WriteJSON(ctx, s.bucket, catalogueDocument, c, blob.Absent); errors.Is(err, errs.Conflict) {
			return s.experiments(ctx)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("experiments: %w", err)
	}
	return c, nil
}

// change changes the catalogue.
func (s *Store) change(ctx context.Context, change func(c catalogue, now int64) error) error {
	_, err := blob.Update(ctx, s.bucket, catalogueDocument, func(c *catalogue) error {
		if *c == nil {
			*c = s.first()
		}
		return change(*c, s.millis())
	})
	if err != nil {
		return fmt.Errorf("change experiments: %w", err)
	}
	return nil
}

func checkExperimentName(name string) error {
	if name == "" {
		return fault.Invalid("Invalid experiment name: ''")
	}
	if utf8.RuneCountInString(name) > maxExperimentName {
		return fault.Invalid("'name' exceeds the maximum length of %d characters", maxExperimentName)
	}
	return nil
}

func checkExperimentTag(key, value string) error {
	return errors.Join(checkKey("key", "key", key), tooLong("value", maxExperimentValue, value))
}

// CreateExperiment makes an experiment; location is where its artifacts go, and
// may be empty. A name is taken even when its experiment was deleted.
func (s *Store) CreateExperiment(ctx context.Context, name, location string, tags map[string]string) (Experiment, error) {
	if err := checkExperimentName(name); err != nil {
		return Experiment{}, err
	}
	for k, v := range tags {
		if err := checkExperimentTag(k, v); err != nil {
			return Experiment{}, err
		}
	}
	var e Experiment
	err := s.change(ctx, func(c catalogue, now int64) error {
		if _, taken := c.named(name); taken {
			return fault.Exists("Experiment(name=%s) already exists.", name)
		}
		for _, other := range c { // the order of creation shows even within a millisecond
			now = max(now, other.Created+1)
		}
		id := c.free(name)
		e = Experiment{ID: id, Name: name, ArtifactLocation: location, Lifecycle: Active, Created: now, Updated: now, Tags: tags}
		if location == "" {
			e.ArtifactLocation = ArtifactScheme + id
		}
		c[id] = e
		return nil
	})
	return e, err
}

// EnsureExperiment returns the experiment of that name, made when missing.
func (s *Store) EnsureExperiment(ctx context.Context, name string) (Experiment, error) {
	e, err := s.ExperimentByName(ctx, name)
	if !errors.Is(err, errs.NotFound) {
		return e, err
	}
	e, err = s.CreateExperiment(ctx, name, "", nil)
	if code, _ := errs.Reason(err); code == fault.CodeExists { // somebody was quicker
		return s.ExperimentByName(ctx, name)
	}
	return e, err
}

// Experiment returns an experiment, deleted or not; errs.NotFound when there is
// none.
func (s *Store) Experiment(ctx context.Context, id string) (Experiment, error) {
	c, err := s.experiments(ctx)
	if err != nil {
		return Experiment{}, err
	}
	return c.get(id)
}

// ExperimentByName returns the experiment of that name, deleted or not;
// errs.NotFound when there is none.
func (s *Store) ExperimentByName(ctx context.Context, name string) (Experiment, error) {
	c, err := s.experiments(ctx)
	if err != nil {
		return Experiment{}, err
	}
	e, ok := c.named(name)
	if !ok {
		return Experiment{}, fault.Missing("Could not find experiment with name '%s'", name)
	}
	return e, nil
}

// Experiments returns every experiment, by id.
func (s *Store) Experiments(ctx context.Context) (map[string]Experiment, error) {
	return s.experiments(ctx)
}

func (s *Store) changeExperiment(ctx context.Context, id string, change func(c catalogue, e *Experiment) error) error {
	return s.change(ctx, func(c catalogue, now int64) error {
		e, err := c.get(id)
		if err != nil {
			return err
		}
		e.Tags = maps.Clone(e.Tags)
		if err := change(c, &e); err != nil {
			return err
		}
		e.Updated = now
		c[id] = e
		return nil
	})
}

// DeleteExperiment deletes an experiment and with it its runs.
func (s *Store) DeleteExperiment(ctx context.Context, id string) error {
	return s.changeExperiment(ctx, id, func(_ catalogue, e *Experiment) error {
		if e.Lifecycle == Deleted {
			return fault.Missing("No Experiment with id=%s exists", id)
		}
		e.Lifecycle = Deleted
		return nil
	})
}

// RestoreExperiment makes a deleted experiment active again, and with it all of
// its runs.
func (s *Store) RestoreExperiment(ctx context.Context, id string) error {
	return s.changeExperiment(ctx, id, func(_ catalogue, e *Experiment) error {
		if e.Lifecycle != Deleted {
			return fault.Missing("No Experiment with id=%s exists", id)
		}
		e.Lifecycle, e.Restored = Active, s.millis()
		return nil
	})
}

// RenameExperiment gives an active experiment a name that nobody has.
func (s *Store) RenameExperiment(ctx context.Context, id, name string) error {
	if err := checkExperimentName(name); err != nil {
		return err
	}
	return s.changeExperiment(ctx, id, func(c catalogue, e *Experiment) error {
		if e.Lifecycle != Active {
			return fault.Invalid("Cannot rename a non-active experiment.")
		}
		if other, taken := c.named(name); taken && other.ID != id {
			return fault.Exists("Experiment(name=%s) already exists.", name)
		}
		e.Name = name
		return nil
	})
}

func checkActive(e Experiment) error {
	if e.Lifecycle != Active {
		return fault.Invalid("The experiment %s must be in the 'active' state. Current state is %s.", e.ID, e.Lifecycle)
	}
	return nil
}

// SetExperimentTag adds a tag to an active experiment or replaces it.
func (s *Store) SetExperimentTag(ctx context.Context, id, key, value string) error {
	if err := checkExperimentTag(key, value); err != nil {
		return err
	}
	return s.changeExperiment(ctx, id, func(_ catalogue, e *Experiment) error {
		merge(&e.Tags, map[string]string{key: value})
		return checkActive(*e)
	})
}

// DeleteExperimentTag removes a tag that is there.
func (s *Store) DeleteExperimentTag(ctx context.Context, id, key string) error {
	return s.changeExperiment(ctx, id, func(_ catalogue, e *Experiment) error {
		if err := checkActive(*e); err != nil {
			return err
		}
		if _, ok := e.Tags[key]; !ok {
			return fault.Missing("No tag with name: %s in experiment with id %s", key, id)
		}
		delete(e.Tags, key)
		return nil
	})
}
