package registry

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/litterloop/litterloop/shared/tracking/fault"
)

// Stages of a version, in MLflow's order.
const (
	None       = "None"
	InStaging  = "Staging"
	Production = "Production"
	Archived   = "Archived"
)

var stages = []string{None, InStaging, Production, Archived}

// StageOf returns a version's stage, and when it was set.
func (m Model) StageOf(n int) (name string, set time.Time) {
	if s, ok := m.Stages[n]; ok {
		return s.Name, s.Set
	}
	return None, time.Time{}
}

func canonicalStage(s string) (string, error) {
	for _, name := range stages {
		if strings.EqualFold(name, s) {
			return name, nil
		}
	}
	return "", fault.Invalid("Invalid Model Version stage: %s. Value must be one of %s.", s, strings.Join(stages, ", "))
}

// Transition moves version n to a stage. With archive, the versions that are in
// that stage are archived in the same write.
func (r *Registry) Transition(ctx context.Context, model string, n int, stage string, archive bool) (Model, Version, error) {
	stage, err := canonicalStage(stage)
	if err != nil {
		return Model{}, Version{}, err
	}
	if archive && stage != InStaging && stage != Production {
		return Model{}, Version{}, fault.Invalid("Model version transition cannot archive existing model versions because '%s' is not an Active stage. "+
			"Valid stages are ['Staging', 'Production']", stage)
	}
	v, err := r.Get(ctx, model, n)
	if err != nil {
		return Model{}, Version{}, err
	}
	d, err := r.update(ctx, model, func(d *document) error {
		if d.removed(n) || d.Epoch != v.Epoch {
			return noVersion(model, n)
		}
		now := r.now().UTC()
		if d.Stages == nil {
			d.Stages = map[int]Stage{}
		}
		if archive {
			for other, s := range d.Stages {
				if other != n && s.Name == stage {
					d.Stages[other] = Stage{Archived, now}
				}
			}
		}
		d.Stages[n] = Stage{stage, now}
		d.Updated = now
		return nil
	})
	if err != nil {
		return Model{}, Version{}, err
	}
	return d.Model, v, nil
}

// Latest returns a model and its newest version in each of some stages; in each
// that has one when none are named.
func (r *Registry) Latest(ctx context.Context, model string, wanted []string) (Model, []Version, error) {
	for i, s := range wanted {
		name, err := canonicalStage(s)
		if err != nil {
			return Model{}, nil, err
		}
		wanted[i] = name
	}
	m, all, err := r.Versions(ctx, model)
	if err != nil {
		return Model{}, nil, err
	}
	return m, newest(m, all, wanted), nil
}

// newest returns the newest version of each stage, by number.
func newest(m Model, all []Version, wanted []string) []Version {
	last := map[string]Version{}
	for _, v := range all {
		stage, _ := m.StageOf(v.Version)
		if len(wanted) == 0 || slices.Contains(wanted, stage) {
			last[stage] = v
		}
	}
	var found []Version
	for _, v := range last {
		found = append(found, v)
	}
	slices.SortFunc(found, func(a, b Version) int { return a.Version - b.Version })
	return found
}
