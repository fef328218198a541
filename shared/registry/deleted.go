package registry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/tracking/fault"
)

// Policy says how long what was deleted can be restored.
type Policy struct {
	// KeepDeletedDays is how many days a deleted model or version is kept, at
	// least; 0 to 3650.
	KeepDeletedDays int `yaml:"keep_deleted_days" json:"keep_deleted_days"`
}

// DefaultPolicy keeps what was deleted for 30 days.
func DefaultPolicy() Policy { return Policy{KeepDeletedDays: 30} }

// Validate reports every fault at once.
func (p Policy) Validate() error {
	if p.KeepDeletedDays < 0 || p.KeepDeletedDays > 3650 {
		return fmt.Errorf("keep_deleted_days: %d: use 0 to 3650", p.KeepDeletedDays)
	}
	return nil
}

// Keep is how long what was deleted is kept.
func (p Policy) Keep() time.Duration { return time.Duration(p.KeepDeletedDays) * 24 * time.Hour }

// deletion is who deleted something, and when. Once it is Expired nothing
// restores what was deleted: it is about to go for good.
type deletion struct {
	Who     string    `json:"who"`
	Time    time.Time `json:"time"`
	Expired bool      `json:"expired,omitempty"`
}

// tombstone is what a deleted version gave up.
type tombstone struct {
	deletion
	Stage   *Stage   `json:"stage,omitempty"`
	Aliases []string `json:"aliases,omitempty"`
}

// grave is a deleted model. Its versions lie in its folder.
type grave struct {
	deletion
	contents
	Description string            `json:"description,omitempty"`
	Created     time.Time         `json:"created"`
	Tags        map[string]string `json:"tags,omitempty"`
	Aliases     map[string]int    `json:"aliases,omitempty"`
	Stages      map[int]Stage     `json:"stages,omitempty"`
	Moves       []Move            `json:"moves,omitempty"` // unless the name's document has those of this folder
}

// maxGraves is how many models of one name are kept; of more the oldest goes.
const maxGraves = 20

// bury deletes the model that d has. Its moves stay with the folder.
func (d *document) bury(by deletion) {
	d.Graves = append(d.Graves, grave{
		deletion: by, contents: d.contents, Description: d.Description, Created: d.Created,
		Tags: d.Tags, Aliases: d.Aliases, Stages: d.Stages,
	})
	d.Graves[len(d.Graves)-1].Folder = d.folder()
	if len(d.Graves) > maxGraves {
		d.Graves = d.Graves[1:]
	}
	d.Deleted, d.Updated = true, by.Time
	d.Description, d.Tags, d.Aliases, d.Stages, d.Removed, d.Tombstones = "", nil, nil, nil, nil, nil
}

// Deletion is a model, or a version, that was deleted and can be restored.
type Deletion struct {
	Model   string    `json:"model"`
	Version int       `json:"version,omitempty"` // 0: the model, with its versions
	Aliases []string  `json:"aliases,omitempty"` // that named it, or that it had
	Who     string    `json:"who"`
	Time    time.Time `json:"time"`
}

// Deleted returns what can be restored, newest first.
func (r *Registry) Deleted(ctx context.Context) ([]Deletion, error) {
	all, _, err := r.documents(ctx)
	if err != nil {
		return nil, err
	}
	var found []Deletion
	for _, d := range all {
		if d.Moved != nil && !d.Deleted {
			d = d.left()
		}
		for n, t := range d.Tombstones {
			if !t.Expired {
				found = append(found, Deletion{Model: d.Name, Version: n, Aliases: t.Aliases, Who: t.Who, Time: t.Time})
			}
		}
		for _, g := range d.Graves {
			if !g.Expired {
				found = append(found, Deletion{Model: d.Name, Aliases: slices.Sorted(maps.Keys(g.Aliases)), Who: g.Who, Time: g.Time})
			}
		}
	}
	slices.SortFunc(found, func(a, b Deletion) int {
		return cmp.Or(b.Time.Compare(a.Time), strings.Compare(a.Model, b.Model), cmp.Compare(a.Version, b.Version))
	})
	return found, nil
}

// RestoreVersion makes a deleted version one of its model's again, in the stage
// that it had. Aliases that named it do not come back: others may have them, and
// they steer what is served. Restoring one that is there changes nothing.
func (r *Registry) RestoreVersion(ctx context.Context, model string, n int) (Version, error) {
	d, err := r.update(ctx, model, func(d *document) error {
		if !d.removed(n) {
			return blob.ErrUnchanged
		}
		t, ok := d.Tombstones[n]
		if !ok || t.Expired {
			return fault.Missing("Model Version (name=%s, version=%d) was deleted too long ago to be restored", model, n)
		}
		if t.Stage != nil {
			if d.Stages == nil {
				d.Stages = map[int]Stage{}
			}
			d.Stages[n] = *t.Stage
		}
		d.Removed = slices.DeleteFunc(d.Removed, func(m int) bool { return m == n })
		delete(d.Tombstones, n)
		d.Updated = r.now().UTC()
		return nil
	})
	if err != nil {
		return Version{}, err
	}
	return r.version(ctx, d, n)
}

// RestoreModel brings back the model of that name which was deleted last, with
// its versions, stages and aliases, whose history goes on. The name must be
// free. Restoring a model that is there changes nothing.
func (r *Registry) RestoreModel(ctx context.Context, model, who string) (Model, error) {
	if err := checkModel(model); err != nil {
		return Model{}, err
	}
	for {
		d, err := r.read(ctx, model)
		if err != nil {
			return Model{}, fmt.Errorf("registered model %q: %w", model, err)
		}
		last := len(d.Graves) - 1
		for last >= 0 && d.Graves[last].Expired {
			last--
		}
		switch {
		case d.Moved != nil && !d.Deleted:
			if err := r.settle(ctx, d); err != nil {
				return Model{}, err
			}
			continue
		case d.generation != blob.Absent && !d.Deleted && last < 0:
			return d.Model, nil
		case d.generation != blob.Absent && !d.Deleted:
			return Model{}, taken(model)
		case last < 0:
			return Model{}, noModel(model)
		}
		if err := r.unbury(ctx, d, last, who); err != nil {
			return Model{}, err
		}
		if err := r.write(ctx, d); err == nil {
			return d.Model, nil
		} else if !errors.Is(err, errs.Conflict) || ctx.Err() != nil {
			return Model{}, fmt.Errorf("restore model %q: %w", model, err)
		}
	}
}

// unbury makes of d the model that lies in one of its graves.
func (r *Registry) unbury(ctx context.Context, d *document, i int, who string) error {
	g := d.Graves[i]
	if d.Moved != nil || d.folder() != g.Folder { // what d has of moves is not this model's
		d.Moves = g.Moves
	}
	d.Graves = slices.Delete(slices.Clone(d.Graves), i, i+1)
	d.contents, d.Deleted, d.Moved = g.contents, false, nil
	d.Description, d.Created, d.Tags, d.Stages = g.Description, g.Created, g.Tags, g.Stages
	d.Updated, d.Aliases = r.now().UTC(), nil
	for _, alias := range slices.Sorted(maps.Keys(g.Aliases)) {
		if err := r.moveAlias(ctx, d, Move{Alias: alias, To: g.Aliases[alias], Who: who, Why: "the model was restored"}); err != nil {
			return err
		}
	}
	return nil
}
