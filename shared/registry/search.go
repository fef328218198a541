package registry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/tracking"
	"github.com/litterloop/litterloop/shared/tracking/filter"
)

// Found is a model with its newest version in each stage.
type Found struct {
	Model
	Latest []Version
}

// FoundVersion is a version with the model that it is of.
type FoundVersion struct {
	Version
	Of *Model
}

// SearchModels returns a page of the models that match, in order, and the token
// of the next page.
func (r *Registry) SearchModels(ctx context.Context, filterString string, order []string, p tracking.Page) (page []Found, next string, err error) {
	clauses, err := filter.Models.Parse(filterString)
	if err != nil {
		return nil, "", err
	}
	orders, err := filter.Models.ParseOrder(order)
	if err != nil {
		return nil, "", err
	}
	models, refs, err := r.scan(ctx)
	if err != nil {
		return nil, "", err
	}
	models = slices.DeleteFunc(models, func(d *document) bool { return !filter.Match(clauses, d) })
	slices.SortFunc(models, func(a, b *document) int {
		return cmp.Or(filter.Compare(orders, filter.Models, a, b), strings.Compare(a.Name, b.Name))
	})
	part, next, err := tracking.Slice(models, p)
	if err != nil {
		return nil, "", err
	}
	page = make([]Found, len(part))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for i, d := range part {
		g.Go(func() error {
			all, err := r.readVersions(ctx, d, d.newestRefs(refs[d.folder()]))
			page[i] = Found{d.Model, newest(d.Model, all, nil)}
			return err
		})
	}
	return page, next, g.Wait()
}

// newestRefs are those of refs that are the newest of their stage.
func (d *document) newestRefs(refs []versionRef) []versionRef {
	last := map[string]versionRef{}
	for _, ref := range refs {
		if stage, _ := d.StageOf(ref.number); d.counts(ref) {
			last[stage] = ref
		}
	}
	return slices.DeleteFunc(slices.Clone(refs), func(ref versionRef) bool {
		stage, _ := d.StageOf(ref.number)
		return last[stage] != ref
	})
}

// SearchVersions returns a page of the versions, of all models, that match, in
// order, and the token of the next page.
func (r *Registry) SearchVersions(ctx context.Context, filterString string, order []string, p tracking.Page) (page []FoundVersion, next string, err error) {
	clauses, err := filter.Versions.Parse(filterString)
	if err != nil {
		return nil, "", err
	}
	if len(order) == 0 {
		order = []string{"last_updated_timestamp DESC"}
	}
	orders, err := filter.Versions.ParseOrder(order)
	if err != nil {
		return nil, "", err
	}
	models, refs, err := r.scan(ctx)
	if err != nil {
		return nil, "", err
	}
	byModel := make([][]Version, len(models))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for i, d := range models {
		g.Go(func() (err error) {
			byModel[i], err = r.readVersions(gctx, d, refs[d.folder()])
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, "", err
	}
	var found []FoundVersion
	for i, versions := range byModel {
		for _, v := range versions {
			if f := (FoundVersion{v, &models[i].Model}); filter.Match(clauses, f) {
				found = append(found, f)
			}
		}
	}
	slices.SortFunc(found, func(a, b FoundVersion) int {
		return cmp.Or(filter.Compare(orders, filter.Versions, a, b), strings.Compare(a.Model, b.Model), cmp.Compare(b.Version.Version, a.Version.Version))
	})
	return tracking.Slice(found, p)
}

// documents reads the document of every name, and lists every folder's versions.
// What did not change since it was read last is not read again, so nothing may
// change what is returned.
func (r *Registry) documents(ctx context.Context) (all []*document, refs map[string][]versionRef, err error) {
	refs = map[string][]versionRef{}
	var objects []blob.Attrs
	for a, err := range r.bucket.List(ctx, root) {
		if err != nil {
			return nil, nil, fmt.Errorf("list registered models: %w", err)
		}
		folder, rest, _ := strings.Cut(strings.TrimPrefix(a.Name, root), "/")
		if rest == "model.json" {
			objects = append(objects, a)
		} else if ref, ok := refOf(folder, a); ok {
			refs[folder] = append(refs[folder], ref)
		}
	}
	all = make([]*document, len(objects))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for i, a := range objects {
		key := fmt.Sprintf("%s#%d", a.Name, a.Generation)
		if known, ok := r.models.Get(key); ok {
			all[i] = known
			continue
		}
		g.Go(func() error {
			d := &document{}
			generation, err := blob.ReadJSON(gctx, r.bucket, a.Name, d)
			if err != nil {
				return fmt.Errorf("registered model: %w", err)
			}
			d.generation = generation
			if all[i] = d; generation == a.Generation {
				r.models.Add(key, d)
			}
			return nil
		})
	}
	return all, refs, g.Wait()
}

// scan reads every model that is there, and lists every folder's versions.
func (r *Registry) scan(ctx context.Context) (models []*document, refs map[string][]versionRef, err error) {
	all, refs, err := r.documents(ctx)
	if err != nil {
		return nil, nil, err
	}
	for _, d := range all {
		switch {
		case d.Deleted:
		case d.Moved == nil:
			models = append(models, d.clone())
		case slices.ContainsFunc(all, func(there *document) bool { return there.arrived(d) }):
		default: // on its way to another name
			now, err := r.load(ctx, d.Name)
			if err == nil {
				models = append(models, now)
			} else if !errors.Is(err, errs.NotFound) {
				return nil, nil, err
			}
		}
	}
	return models, refs, nil
}

// Number implements filter.Subject.
func (d *document) Number(_ filter.Entity, key string) (float64, bool) {
	if key == "creation_timestamp" {
		return float64(d.Created.UnixMicro()), true
	}
	return float64(d.Updated.UnixMicro()), true
}

// Texts implements filter.Subject.
func (d *document) Texts(e filter.Entity, key string) []string {
	if e == filter.Tag {
		return lookup(d.Tags, key)
	}
	return []string{d.Name}
}

// Number implements filter.Subject.
func (f FoundVersion) Number(_ filter.Entity, key string) (float64, bool) {
	switch key {
	case "version_number":
		return float64(f.Version.Version), true
	case "creation_timestamp":
		return float64(f.Created.UnixMicro()), true
	}
	_, set := f.Of.StageOf(f.Version.Version)
	return float64(max(f.Created.UnixMicro(), f.Updated.UnixMicro(), set.UnixMicro())), true
}

// Texts implements filter.Subject.
func (f FoundVersion) Texts(e filter.Entity, key string) []string {
	switch {
	case e == filter.Tag:
		return lookup(f.Tags, key)
	case key == "run_id":
		return []string{f.Run}
	case key == "source_path":
		return []string{f.Source}
	}
	return []string{f.Model}
}

func lookup(m map[string]string, key string) []string {
	if v, ok := m[key]; ok {
		return []string{v}
	}
	return nil
}
