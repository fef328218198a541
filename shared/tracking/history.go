package tracking

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/errs"
)

// RunData is a run with the latest point of each of its metrics.
type RunData struct {
	Run
	Metrics map[string]Metric
}

// Get returns a run and its metrics; errs.NotFound when there is none.
func (s *Store) Get(ctx context.Context, run string) (RunData, error) {
	if !id.MatchString(run) {
		return RunData{}, noRun(run)
	}
	experiments := async(func() (catalogue, error) { return s.experiments(ctx) })
	st, err := s.state(ctx, run)
	if err != nil {
		return RunData{}, err
	}
	all, err := experiments()
	if err != nil {
		return RunData{}, err
	}
	st.Lifecycle = all.lifecycle(st.Run)
	return RunData{st.Run, st.metrics()}, nil
}

func (s *Store) state(ctx context.Context, run string) (state, error) {
	t, err := s.tails(ctx, tailOf(run))
	if err != nil {
		return state{}, err
	}
	return s.complete(ctx, run, t[run])
}

// LogMetrics appends points to a run as one segment: all of them or none. The
// same segment logged again is kept once, so a writer that does not know
// whether its points arrived logs them again under the same name; an empty name
// is one of its own. It does not ask whether the run is there.
func (s *Store) LogMetrics(ctx context.Context, run, segment string, points []Metric) error {
	if segment == "" {
		segment = s.uniqueSegment()
	}
	if err := errors.Join(checkID("run", run), checkID("segment", segment)); err != nil {
		return err
	}
	for _, m := range points {
		if err := checkKey("Metric name", "name", m.Key); err != nil {
			return err
		}
	}
	return s.append(ctx, run, segment, points)
}

// unnamed begins the names of segments that no writer will log again.
const unnamed = "batch-"

func (s *Store) uniqueSegment() string {
	return fmt.Sprintf("%s%019d-%s", unnamed, s.now().UnixNano(), uuid.NewString()[:13])
}

func (s *Store) append(ctx context.Context, run, name string, points []Metric) error {
	if len(points) == 0 {
		return nil
	}
	_, err := blob.WriteJSON(ctx, s.bucket, segment(run, name), points, blob.Absent)
	if err != nil && !errors.Is(err, errs.Conflict) {
		return fmt.Errorf("log metrics of run %s: %w", run, err)
	}
	return nil
}

// Metrics returns every point of a run, equal ones once, in the order of key,
// step and time; none when there is no such run.
func (s *Store) Metrics(ctx context.Context, run string) ([]Metric, error) {
	if err := checkID("run", run); err != nil {
		return nil, err
	}
	for {
		st, err := s.state(ctx, run)
		if errors.Is(err, errs.NotFound) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		old, gone, err := s.read(ctx, st.History)
		if err != nil {
			return nil, err
		}
		if gone { // compacted into another since
			continue
		}
		return sorted(append(slices.Concat(old...), st.fresh...)), nil
	}
}

// History returns every point of one metric of a run, ordered by time, step and
// value as MLflow does; errs.NotFound when there is no such run.
func (s *Store) History(ctx context.Context, run, key string) ([]Metric, error) {
	points, err := s.Metrics(ctx, run)
	if err != nil {
		return nil, err
	}
	points = slices.DeleteFunc(points, func(m Metric) bool { return m.Key != key })
	slices.SortStableFunc(points, byTime)
	return points, nil
}
