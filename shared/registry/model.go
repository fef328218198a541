package registry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"unicode/utf8"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

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
		Model:    Model{Name: name, Description: description, Created: now, Updated: now, Tags: tags},
		contents: contents{Folder: old.Folder},
		Graves:   old.Graves, Arrived: old.Arrived, generation: old.generation,
	}
	if old.generation != blob.Absent {
		d.Epochs = max(old.Epochs, old.Epoch) + 1
		d.Epoch = d.Epochs
	}
	if old.Moved != nil { // its folder went with the model that was here
		d.Folder = name + "~" + uuid.NewString()[:8]
	} else {
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

// Describe changes a model's description, and returns the model and its newest
// version in each stage.
func (r *Registry) Describe(ctx context.Context, model, description string) (Model, []Version, error) {
	for {
		d, refs, err := r.loadRefs(ctx, model)
		if err != nil {
			return Model{}, nil, err
		}
		d.Description, d.Updated = description, r.now().UTC()
		var versions []Version
		g, gctx := errgroup.WithContext(ctx)
		g.Go(func() error { return r.write(gctx, d) })
		g.Go(func() (err error) { versions, err = r.readVersions(gctx, d, d.newestRefs(refs)); return err })
		err = g.Wait()
		if err == nil {
			return d.Model, newest(d.Model, versions, nil), nil
		}
		if !errors.Is(err, errs.Conflict) || ctx.Err() != nil {
			return Model{}, nil, fmt.Errorf("describe model %q: %w", model, err)
		}
	}
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

// DeleteModel deletes a model with its versions and aliases; RestoreModel brings
// it back, until it is purged.
func (r *Registry) DeleteModel(ctx context.Context, model, who string) error {
	_, err := r.update(ctx, model, func(d *document) error {
		had := maps.Clone(d.Aliases)
		for _, alias := range slices.Sorted(maps.Keys(had)) {
			if err := r.moveAlias(ctx, d, Move{Alias: alias, Who: who, Why: "the model was deleted"}); err != nil {
				return err
			}
		}
		d.Aliases = had
		d.bury(deletion{Who: who, Time: r.now().UTC()})
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

// RenameModel gives a model a name that nothing has, and returns it with its
// newest version in each stage.
func (r *Registry) RenameModel(ctx context.Context, model, name string) (Model, []Version, error) {
	if err := cmp.Or(checkModel(model), checkModel(name)); err != nil {
		return Model{}, nil, err
	}
	for {
		moved, versions, err := r.rename(ctx, model, name)
		if err == nil {
			return moved.Model, newest(moved.Model, versions, nil), nil
		}
		if !errors.Is(err, errs.Conflict) || ctx.Err() != nil {
			return Model{}, nil, fmt.Errorf("rename model %q: %w", model, err)
		}
	}
}

// rename tries once; errs.Conflict when somebody else was at either name.
func (r *Registry) rename(ctx context.Context, model, name string) (moved *document, versions []Version, err error) {
	var d, there *document
	var refs []versionRef
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) { there, err = r.read(gctx, name); return err })
	g.Go(func() (err error) { d, err = r.load(gctx, model); return err })
	g.Go(func() (err error) { refs, err = r.refs(gctx, model); return err }) // most models lie where their name says
	if err := g.Wait(); err != nil {
		return nil, nil, err
	}
	if there.Moved != nil && !there.Deleted && d.arrived(there) { // goes back to where it came from
		there = there.left()
	}
	if there.generation != blob.Absent && !there.Deleted {
		if there.Moved == nil || name == model {
			return nil, nil, taken(name)
		}
		if err := r.settle(ctx, there); err != nil {
			return nil, nil, err
		}
		return nil, nil, errs.Conflict // look again
	}
	d.Folder = d.folder()
	d.Moved = &rename{ID: uuid.NewString(), To: name, Generation: there.generation}
	g, gctx = errgroup.WithContext(ctx)
	g.Go(func() error { return r.write(gctx, d) })
	if d.Folder != model {
		g.Go(func() (err error) { refs, err = r.refs(gctx, d.Folder); return err })
	}
	if err := g.Wait(); err != nil {
		return nil, nil, err
	}
	g, gctx = errgroup.WithContext(ctx)
	g.Go(func() (err error) { moved, err = r.arrive(gctx, d, there); return err })
	g.Go(func() (err error) { versions, err = r.readVersions(gctx, d, d.newestRefs(refs)); return err })
	if err := g.Wait(); err != nil {
		return nil, nil, err
	}
	for i := range versions {
		versions[i].Model = name
	}
	return moved, versions, nil
}

// arrive writes the model of d, which is on its way, to its new name, where
// there is.
func (r *Registry) arrive(ctx context.Context, d, there *document) (*document, error) {
	moved := d.clone()
	moved.Name, moved.Moved, moved.generation = d.Moved.To, nil, d.Moved.Generation
	moved.Updated = r.now().UTC()
	moved.Arrived = append(slices.Clone(there.Arrived), d.Moved.ID)
	moved.Epochs = max(moved.Epochs, moved.Epoch, there.Epochs, there.Epoch)
	moved.Graves = slices.Clone(there.Graves)
	for i, g := range moved.Graves {
		if g.Folder == there.folder() && there.Moved == nil {
			moved.Graves[i].Moves = there.Moves
		}
	}
	return moved, r.write(ctx, moved)
}

// settle ends the rename that d tells of: d is then without it, or deleted.
func (r *Registry) settle(ctx context.Context, d *document) error {
	there, err := r.read(ctx, d.Moved.To)
	if err != nil {
		return err
	}
	arrived := there.arrived(d)
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
	left := d.left()
	if !arrived { // another model came to that name first
		left = d.clone()
		left.Moved = nil
	}
	if err := r.write(ctx, left); err != nil && !errors.Is(err, errs.Conflict) {
		return err
	}
	return nil
}

// left is what d is once its model has arrived elsewhere.
func (d *document) left() *document {
	left := d.clone()
	left.Deleted = true
	left.Model = Model{Name: d.Name, Created: d.Created, Updated: d.Updated}
	left.Removed, left.Tombstones = nil, nil
	// Graves in the folder that went are given up: it is another name's.
	left.Graves = slices.DeleteFunc(left.Graves, func(g grave) bool { return g.Folder == d.folder() })
	return left
}

// arrived tells whether the rename that from tells of has ended in d.
func (d *document) arrived(from *document) bool {
	return d.Name == from.Moved.To && slices.Contains(d.Arrived, from.Moved.ID)
}
