package registry

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/litterloop/litterloop/shared/errs"
)

// Purge takes away for good what was deleted before a time, and returns how many
// models and versions that were. Numbers stay taken. Any number of processes may
// purge at once, and die at it: the model's document first says what has expired,
// and nothing restores that any more; then the versions are emptied; then the
// document forgets them.
func (r *Registry) Purge(ctx context.Context, before time.Time) (purged int, err error) {
	all, refs, err := r.documents(ctx)
	if err != nil {
		return 0, err
	}
	for _, d := range all {
		if d.Moved != nil && !d.Deleted { // what it tells of the folder may be another document's by now
			if err := r.settle(ctx, d); err != nil {
				return purged, err
			}
			continue
		}
		n, err := r.purge(ctx, d.clone(), refs, before)
		purged += n
		if err != nil && !errors.Is(err, errs.Conflict) { // changed meanwhile: the next does it
			return purged, fmt.Errorf("take away what was deleted of model %q: %w", d.Name, err)
		}
	}
	return purged, nil
}

func (r *Registry) purge(ctx context.Context, d *document, refs map[string][]versionRef, before time.Time) (int, error) {
	said, expired := d.expire(before)
	if expired == 0 {
		return 0, nil
	}
	if said {
		if err := r.write(ctx, d); err != nil {
			return 0, err
		}
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	empty := func(folder string, gone func(versionRef) bool) {
		for _, ref := range refs[folder] {
			if gone(ref) {
				g.Go(func() error { return r.empty(gctx, folder, ref) })
			}
		}
	}
	empty(d.folder(), func(ref versionRef) bool { return ref.epoch == d.Epoch && d.Tombstones[ref.number].Expired })
	for _, g := range d.Graves {
		if g.Expired {
			empty(g.Folder, func(ref versionRef) bool { return ref.epoch == g.Epoch })
		}
	}
	if err := g.Wait(); err != nil {
		return 0, err
	}
	maps.DeleteFunc(d.Tombstones, func(_ int, t tombstone) bool { return t.Expired })
	d.Graves = slices.DeleteFunc(d.Graves, func(g grave) bool { return g.Expired })
	return expired, r.write(ctx, d)
}

// expire marks what was deleted before a time; said tells that it was not all
// marked already.
func (d *document) expire(before time.Time) (said bool, expired int) {
	mark := func(x *deletion) {
		if !x.Expired && x.Time.Before(before) {
			x.Expired, said = true, true
		}
		if x.Expired {
			expired++
		}
	}
	for n, t := range d.Tombstones {
		mark(&t.deletion)
		d.Tombstones[n] = t
	}
	for i := range d.Graves {
		mark(&d.Graves[i].deletion)
	}
	return said, expired
}

// empty leaves of a version that its number is taken.
func (r *Registry) empty(ctx context.Context, folder string, ref versionRef) error {
	stub := Version{Version: ref.number, Epoch: ref.epoch}
	err := r.writeVersion(ctx, folder, stub, false, ref.generation)
	if errors.Is(err, errs.NotFound) {
		return nil
	}
	return err
}
