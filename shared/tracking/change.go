package tracking

import (
	"context"
	"encoding/json"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/tracking/fault"
)

// LogParams adds parameters to a run. They are written once: another value for
// a known key is a permanent error and nothing of the call is kept. Values are
// cut to 6,000 characters.
func (s *Store) LogParams(ctx context.Context, run string, params map[string]string) error {
	for k := range params {
		if err := checkKey("Param key", "key", k); err != nil {
			return err
		}
	}
	_, err := s.update(ctx, run, func(d *document) error { return d.addParams(params, true) })
	return err
}

// addParams adds what is new of params; blob.ErrUnchanged when nothing is.
func (d *document) addParams(params map[string]string, alone bool) error {
	changed := false
	for k, v := range params {
		v = cut(v, maxParamValue)
		old, known := d.Params[k]
		switch {
		case known && old != v && alone:
			return errs.Permanentf(CodeParamChanged, "Changing param values is not allowed. Param with key='%s' was already logged with value='%s' "+
				"for run ID='%s'. Attempted logging new value '%s'.", k, old, d.ID, v)
		case known && old != v:
			return errs.Permanentf(CodeParamChanged, "Changing param values is not allowed. Params were already logged='[{'key': '%s', "+
				"'old_value': '%s', 'new_value': '%s'}]' for run ID='%s'.", k, old, v, d.ID)
		case !known:
			merge(&d.Params, map[string]string{k: v})
			changed = true
		}
	}
	if !changed {
		return blob.ErrUnchanged
	}
	return nil
}

// SetTags adds tags to a run or replaces them. Values are cut to 8,000
// characters.
func (s *Store) SetTags(ctx context.Context, run string, tags map[string]string) error {
	if err := checkTags(tags); err != nil {
		return err
	}
	_, err := s.update(ctx, run, func(d *document) error {
		d.setTags(tags)
		return nil
	})
	return err
}

func (d *document) setTags(tags map[string]string) {
	if len(tags) > 0 {
		merge(&d.Tags, cutTags(tags))
	}
	if name := tags[TagRunName]; name != "" {
		d.Name = name
	}
}

// DeleteTag removes a tag that is there.
func (s *Store) DeleteTag(ctx context.Context, run, key string) error {
	_, err := s.update(ctx, run, func(d *document) error {
		if _, ok := d.Tags[key]; !ok {
			return fault.Missing("No tag with name: %s in run with id %s", key, run)
		}
		delete(d.Tags, key)
		return nil
	})
	return err
}

// SetStatus moves a run to a status. Leaving Running sets its end; going back
// to it, as a job that was killed does when it goes on, clears it.
func (s *Store) SetStatus(ctx context.Context, run string, status Status) error {
	_, err := s.update(ctx, run, func(d *document) error {
		if d.Status == status {
			return blob.ErrUnchanged
		}
		d.Status, d.End = status, 0
		if status != Running {
			d.End = s.millis()
		}
		return nil
	})
	return err
}

// RunUpdate is what a client changes of a run; what is empty stays.
type RunUpdate struct {
	Status Status
	End    *int64 // Unix milliseconds
	Name   string
}

// UpdateRun changes a run and returns it.
func (s *Store) UpdateRun(ctx context.Context, run string, u RunUpdate) (Run, error) {
	return s.update(ctx, run, func(d *document) error {
		if u.Status != "" {
			d.Status = u.Status
		}
		if u.End != nil {
			d.End = *u.End
		}
		if u.Name != "" {
			d.setTags(map[string]string{TagRunName: u.Name})
		}
		return nil
	})
}

// DeleteRun marks a run deleted; deleting it again changes nothing.
func (s *Store) DeleteRun(ctx context.Context, run string) error {
	_, err := s.rewrite(ctx, run, func(d *document, _ string) error {
		d.Lifecycle, d.Removed = Deleted, s.millis()
		return nil
	})
	return err
}

// RestoreRun makes a deleted run active again.
func (s *Store) RestoreRun(ctx context.Context, run string) error {
	_, err := s.rewrite(ctx, run, func(d *document, _ string) error {
		d.Lifecycle, d.Removed = Active, 0
		return nil
	})
	return err
}

// TagLoggedModels lists the models of clients before MLflow 3, as JSON.
const TagLoggedModels = "mlflow.log-model.history"

// AddLegacyModel appends a model's description to TagLoggedModels.
func (s *Store) AddLegacyModel(ctx context.Context, run string, model map[string]any) error {
	_, err := s.update(ctx, run, func(d *document) error {
		var all []any
		if err := json.Unmarshal([]byte(d.Tags[TagLoggedModels]), &all); err != nil && d.Tags[TagLoggedModels] != "" {
			return fault.Invalid("The tag %s of run %s is not a JSON list.", TagLoggedModels, run)
		}
		list, err := json.Marshal(append(all, model))
		if err != nil {
			return err
		}
		merge(&d.Tags, map[string]string{TagLoggedModels: string(list)})
		return nil
	})
	return err
}
