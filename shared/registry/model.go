package registry

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/tracking"
	"github.com/litterloop/litterloop/shared/tracking/fault"
)

// maxTagValue is MLflow's limit of the tags of models and versions, in
// characters.
const maxTagValue = 100_000

func checkTag(key, value string) error {
	if err := tracking.CheckKey("key", key); err != nil {
		return err
	}
	if utf8.RuneCountInString(key) > 250 {
		return fault.Invalid("'key' exceeds the maximum length of 250 characters")
	}
	if utf8.RuneCountInString(value) > maxTagValue {
		return fault.Invalid("'value' exceeds the maximum length of %d characters", maxTagValue)
	}
	return nil
}

func checkTags(tags map[string]string) error {
	for k, v := range tags {
		if err := checkTag(k, v); err != nil {
			return err
		}
	}
	return nil
}

// CreateModel registers a name. A name that was deleted may be registered again;
// its version numbers go on from where they were.
func (r *Registry) CreateModel(ctx context.Context, name, description string, tags map[string]string) (Model, error) {
	if err := errors.Join(checkModel(name)); err != nil {
		return Model{}, err
	}
	if err := checkTags(tags); err != nil {
		return Model{}, err
	}
	for {
		d, err := r.create(ctx, name, description, tags)
		if err == nil {
			return d.Model, nil
		}
		if !errors.Is(err, errs.Conflict) || ctx.Err() != nil {
			return Model{}, err
		}
	}
}

// create registers a name unless it is taken; errs.Conflict when somebody else
// was at it.
func (r *Registry) create(ctx context.Context, name, description string, tags map[string]string) (*document, error) {
	old, err := r.read(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("registered model %q: %w", name, err)
	}
	if old.Moved != nil && !old.Deleted {
		if err := r.settle(ctx, old); err != nil {
			return nil, err
		}
		return nil, errs.Conflict // read again
	}
	if old.generation != blob.Absent && !old.Deleted {
		return nil, taken(name)
	}
	now := r.now().UTC()
	d := &document{
		Model:  Model{Name: name, Description: description, Created: now, Updated: now, Tags: tags},
		Folder: old.Folder, Epoch: old.Epoch, Arrived: old.Arrived, generation: old.generation,
	}
	if old.Moved != nil { // its folder went with the model that was here
		d.Folder, d.Epoch = name+"~"+uuid.NewString()[:8], 0
	}
	if old.Moved == nil {
		d.Moves = old.Moves
	}
	return d, r.write(ctx, d)
}

// ensureModel returns a model's document, made when missing.
func (r *Registry) ensureModel(ctx context.Context, model string) (*document, error) {
	for {
		d, err := r.load(ctx, model)
		if !errors.Is(err, errs.NotFound) {
			return d, err
		}
		d, err = r.create(ctx, model, "", nil)
		if code, _ := errs.Reason(err); code == fault.CodeExists || errors.Is(err, errs.Conflict) && ctx.Err() == nil {
			continue
		}
		return d, err
	}
}

// Describe changes a model's description.
func (r *Registry) Describe(ctx context.Context, model, description string) (Model, error) {
	d, err := r.update(ctx, model, func(d *document) error {
		d.Description, d.Updated = description, r.now().UTC()
		return nil
	})
	if err != nil {
		return Model{}, err
	}
	return d.Model, nil
}

// SetModelTag adds a tag to a model or replaces it.
func (r *Registry) SetModelTag(ctx context.Context, model, key, value string) error {
	if err := errors.Join(checkModel(model), checkTag(key, value)); err != nil {
		return err
	}
	_, err := r.update(ctx, model, func(d *document) error {
		set(&d.Tags, key, value)
		return nil
	})
	return err
}

// DeleteModelTag removes a tag; removing one that is not there changes nothing.
func (r *Registry) DeleteModelTag(ctx context.Context, model, key string) error {
	if err := tracking.CheckKey("key", key); err != nil {
		return err
	}
	_, err := r.update(ctx, model, func(d *document) error {
		if _, ok := d.Tags[key]; !ok {
			return blob.ErrUnchanged
		}
		delete(d.Tags, key)
		return nil
	})
	return err
}

func set(m *map[string]string, key, value string) {
	if *m == nil {
		*m = map[string]string{}
	}
	(*m)[key] = value
}

// DeleteModel deletes a model with its versions and aliases.
func (r *Registry) DeleteModel(ctx context.Context, model, who string) error {
	_, err := r.update(ctx, model, func(d *document) error {
		for _, alias := range slices.Sorted(maps.Keys(d.Aliases)) {
			if err := r.moveAlias(ctx, d, Move{Alias: alias, Who: who, Why: "the model was deleted"}); err != nil {
				return err
			}
		}
		d.Deleted = true
		d.Epoch++
		d.Updated = r.now().UTC()
		d.Description, d.Tags, d.Aliases, d.Stages, d.Removed = "", nil, nil, nil, nil
		return nil
	})
	return err
}

// rename is a model's way to another name. The document there takes the model
// up if its generation is still what is said here; it is the model's from then
// on, and says so for ever in Arrived. Whoever meets a rename that has not ended
// ends it, so that it does not matter who dies at it.
type rename struct {
	ID         string `json:"id"`
	To         string `json:"to"`
	Generation int64  `json:"generation"` // of the document there, which has no model
}

// RenameModel gives a model a name that nothing has.
func (r *Registry) RenameModel(ctx context.Context, model, name string) (Model, error) {
	if err := errors.Join(checkModel(model), checkModel(name)); err != nil {
		return Model{}, err
	}
	for {
		there, err := r.read(ctx, name)
		if err != nil {
			return Model{}, fmt.Errorf("registered model %q: %w", name, err)
		}
		d, err := r.load(ctx, model)
		if err != nil {
			return Model{}, err
		}
		if there.generation != blob.Absent && !there.Deleted {
			if there.Moved == nil || name == model {
				return Model{}, taken(name)
			}
			if err := r.settle(ctx, there); err != nil {
				return Model{}, err
			}
			continue
		}
		d.Folder = d.folder()
		d.Moved = &rename{ID: uuid.NewString(), To: name, Generation: there.generation}
		err = r.write(ctx, d)
		if err == nil {
			var moved *document
			if moved, err = r.arrive(ctx, d, there); err == nil {
				return moved.Model, nil
			}
		}
		if !errors.Is(err, errs.Conflict) || ctx.Err() != nil {
			return Model{}, fmt.Errorf("rename model %q: %w", model, err)
		}
	}
}

// arrive writes the model of d, which is on its way, to its new name, where
// there is.
func (r *Registry) arrive(ctx context.Context, d, there *document) (*document, error) {
	moved := d.clone()
	moved.Name, moved.Moved, moved.generation = d.Moved.To, nil, d.Moved.Generation
	moved.Updated = r.now().UTC()
	moved.Arrived = append(slices.Clone(there.Arrived), d.Moved.ID)
	return moved, r.write(ctx, moved)
}

// settle ends the rename that d tells of: d is then without it, or deleted.
func (r *Registry) settle(ctx context.Context, d *document) error {
	there, err := r.read(ctx, d.Moved.To)
	if err != nil {
		return err
	}
	arrived := slices.Contains(there.Arrived, d.Moved.ID)
	if !arrived && there.generation == d.Moved.Generation {
		_, err := r.arrive(ctx, d, there)
		if errors.Is(err, errs.Conflict) {
			return nil // look again
		}
		if err != nil {
			return err
		}
		arrived = true
	}
	left := d.clone()
	if arrived {
		left.Deleted = true
		left.Model = Model{Name: d.Name, Created: d.Created, Updated: d.Updated}
	} else {
		left.Moved = nil // another model came to that name first
	}
	if err := r.write(ctx, left); err != nil && !errors.Is(err, errs.Conflict) {
		return err
	}
	return nil
}
