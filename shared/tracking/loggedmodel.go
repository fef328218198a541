package tracking

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/tracking/fault"
)

// LoggedModel is a model that a run logged, before anybody registers it. Times
// are Unix milliseconds.
type LoggedModel struct {
	ID          string            `json:"model_id"`
	Experiment  string            `json:"experiment_id"`
	Name        string            `json:"name"`
	Created     int64             `json:"creation_timestamp_ms"`
	Updated     int64             `json:"last_updated_timestamp_ms"`
	ArtifactURI string            `json:"artifact_uri"`
	Status      ModelStatus       `json:"status"`
	Type        string            `json:"model_type"`
	Run         string            `json:"source_run_id,omitempty"`
	Lifecycle   string            `json:"lifecycle_stage"`
	Tags        map[string]string `json:"tags,omitempty"`
	Params      map[string]string `json:"params,omitempty"`
	Metrics     []ModelMetric     `json:"metrics,omitempty"`

	Generation int64 `json:"-"` // of its document when it was read
}

// ModelStatus says how far the logging of a model is.
type ModelStatus string

// Statuses of logged models.
const (
	ModelUnspecified ModelStatus = "LOGGED_MODEL_STATUS_UNSPECIFIED"
	ModelPending     ModelStatus = "LOGGED_MODEL_PENDING"
	ModelReady       ModelStatus = "LOGGED_MODEL_READY"
	ModelFailed      ModelStatus = "LOGGED_MODEL_UPLOAD_FAILED"
)

// ModelMetric is a point that a run logged of a model.
type ModelMetric struct {
	Metric
	Run string
}

type modelPoint struct {
	point
	Run string `json:"run_id"`
}

// MarshalJSON implements json.Marshaler.
func (p ModelMetric) MarshalJSON() ([]byte, error) {
	return json.Marshal(modelPoint{p.point(), p.Run})
}

// UnmarshalJSON implements json.Unmarshaler.
func (p *ModelMetric) UnmarshalJSON(data []byte) (err error) {
	var m modelPoint
	if err := json.Unmarshal(data, &m); err != nil {
		return err
	}
	p.Run = m.Run
	p.Metric, err = m.metric()
	return err
}

var (
	modelID      = regexp.MustCompile(`^m-[a-zA-Z0-9][\w-]{0,63}$`)
	badModelName = regexp.MustCompile(`[/:.%"']`)
)

const modelsPrefix = "tracking/models/"

func modelDocument(id string) string { return modelsPrefix + id + ".json" }

func noModel(id string) error { return fault.Missing("Logged model with ID '%s' not found.", id) }

// CreateLoggedModel makes a pending logged model in an active experiment. Of m
// count the experiment, name, type, run, tags and parameters.
func (s *Store) CreateLoggedModel(ctx context.Context, m LoggedModel) (LoggedModel, error) {
	if badModelName.MatchString(m.Name) {
		return LoggedModel{}, fault.Invalid("Invalid model name ('%s') provided. Model name must be a non-empty string "+
			`and cannot contain the following characters: ('/', ':', '.', '%%', '"', "'")`, m.Name)
	}
	e, err := s.Experiment(ctx, m.Experiment)
	if err != nil {
		return LoggedModel{}, err
	}
	if err := checkActive(e); err != nil {
		return LoggedModel{}, err
	}
	fresh := uuid.New()
	m.ID = "m-" + hex.EncodeToString(fresh[:])
	if m.Name == "" {
		m.Name = randomName()
	}
	m.Created, m.Status, m.Lifecycle, m.Metrics = s.millis(), ModelPending, Active, nil
	m.Updated = m.Created
	m.ArtifactURI = e.ArtifactLocation + "/models/" + m.ID + "/artifacts"
	if _, err := blob.WriteJSON(ctx, s.bucket, modelDocument(m.ID), m, blob.Absent); err != nil {
		return LoggedModel{}, fmt.Errorf("create logged model %s: %w", m.ID, err)
	}
	return m, nil
}

// LoggedModel returns a logged model; errs.NotFound when there is none, or when
// it was deleted and that is not wanted.
func (s *Store) LoggedModel(ctx context.Context, id string, deleted bool) (m LoggedModel, err error) {
	if !modelID.MatchString(id) {
		return m, noModel(id)
	}
	m.Generation, err = blob.ReadJSON(ctx, s.bucket, modelDocument(id), &m)
	if errors.Is(err, errs.NotFound) || err == nil && m.Lifecycle == Deleted && !deleted {
		return LoggedModel{}, noModel(id)
	}
	if err != nil {
		return m, fmt.Errorf("logged model %s: %w", id, err)
	}
	return m, nil
}

func (s *Store) updateModel(ctx context.Context, id string, change func(*LoggedModel) error) (LoggedModel, error) {
	if !modelID.MatchString(id) {
		return LoggedModel{}, noModel(id)
	}
	m, err := blob.Update(ctx, s.bucket, modelDocument(id), func(m *LoggedModel) error {
		if m.ID == "" {
			return noModel(id)
		}
		return change(m)
	})
	if err != nil {
		return m, fmt.Errorf("update logged model %s: %w", id, err)
	}
	return m, nil
}

// FinalizeModel says that a model's logging ended, and how.
func (s *Store) FinalizeModel(ctx context.Context, id string, status ModelStatus) (LoggedModel, error) {
	return s.updateModel(ctx, id, func(m *LoggedModel) error {
		m.Status, m.Updated = status, s.millis()
		return nil
	})
}

// DeleteLoggedModel marks a logged model deleted.
func (s *Store) DeleteLoggedModel(ctx context.Context, id string) error {
	_, err := s.updateModel(ctx, id, func(m *LoggedModel) error {
		m.Lifecycle, m.Updated = Deleted, s.millis()
		return nil
	})
	return err
}

// LogModelParams adds parameters to a logged model, or replaces them.
func (s *Store) LogModelParams(ctx context.Context, id string, params map[string]string) error {
	_, err := s.updateModel(ctx, id, func(m *LoggedModel) error {
		merge(&m.Params, params)
		return nil
	})
	return err
}

// SetModelTags adds tags to a logged model, or replaces them.
func (s *Store) SetModelTags(ctx context.Context, id string, tags map[string]string) error {
	_, err := s.updateModel(ctx, id, func(m *LoggedModel) error {
		merge(&m.Tags, tags)
		return nil
	})
	return err
}

// DeleteModelTag removes a tag that is there.
func (s *Store) DeleteModelTag(ctx context.Context, id, key string) error {
	_, err := s.updateModel(ctx, id, func(m *LoggedModel) error {
		if _, ok := m.Tags[key]; !ok {
			return fault.Missing("No tag with key '%s' found for model with ID '%s'.", key, id)
		}
		delete(m.Tags, key)
		return nil
	})
	return err
}

// addModelMetrics adds points to a logged model that was read, equal ones once.
func (s *Store) addModelMetrics(ctx context.Context, m LoggedModel, points []ModelMetric) error {
	err := s.changeModel(ctx, m, func(m *LoggedModel) error {
		changed := false
		for _, p := range points {
			if !slices.ContainsFunc(m.Metrics, p.equal) {
				m.Metrics = append(m.Metrics, p)
				changed = true
			}
		}
		if !changed {
			return blob.ErrUnchanged
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("log to model %s: %w", m.ID, err)
	}
	return nil
}

func (p ModelMetric) equal(q ModelMetric) bool {
	return p.Run == q.Run && order(p.Metric, q.Metric) == 0
}

// TagVersions lists, as JSON, the registered versions that a logged model
// became.
const TagVersions = "mlflow.modelVersions"

// NoteVersion notes on a logged model, as it was read, that it became version n
// of a registered one.
func (s *Store) NoteVersion(ctx context.Context, m LoggedModel, name string, n int) error {
	return s.changeModel(ctx, m, func(m *LoggedModel) error {
		var all []map[string]any
		if err := json.Unmarshal([]byte(m.Tags[TagVersions]), &all); err != nil {
			all = nil // none yet, or a client's own words
		}
		list := make([]string, 0, len(all)+1)
		for _, v := range append(all, map[string]any{"name": name, "version": n}) {
			list = append(list, fmt.Sprintf(`{"name": %s, "version": %s}`, quote(v["name"]), quote(v["version"])))
		}
		merge(&m.Tags, map[string]string{TagVersions: "[" + strings.Join(list, ", ") + "]"})
		return nil
	})
}

// changeModel changes a logged model that was read, without reading it again
// unless it changed meanwhile.
func (s *Store) changeModel(ctx context.Context, m LoggedModel, change func(*LoggedModel) error) error {
	next := m
	next.Tags = maps.Clone(m.Tags)
	next.Metrics = slices.Clone(m.Metrics)
	if err := change(&next); errors.Is(err, blob.ErrUnchanged) {
		return nil
	} else if err != nil {
		return err
	}
	_, err := blob.WriteJSON(ctx, s.bucket, modelDocument(m.ID), next, m.Generation)
	if errors.Is(err, errs.Conflict) {
		_, err = s.updateModel(ctx, m.ID, change)
	}
	return err
}
