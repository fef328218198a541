package registry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/tracking/fault"
)

// A model's document keeps its newest moves; when it holds maxMoves, the oldest
// archiveMoves go to a history document, so that it stays quick to rewrite.
const (
	maxMoves     = 200
	archiveMoves = 100
)

// Aliases returns what each alias of a model names; none when the model is not
// registered.
func (r *Registry) Aliases(ctx context.Context, model string) (map[string]int, error) {
	m, err := r.Model(ctx, model)
	if errors.Is(err, errs.NotFound) {
		return map[string]int{}, nil
	}
	if err != nil {
		return nil, err
	}
	aliases := map[string]int{}
	maps.Copy(aliases, m.Aliases)
	return aliases, nil
}

// AliasesOf returns the aliases that name version n, in order.
func (m Model) AliasesOf(n int) []string {
	var all []string
	for alias, at := range m.Aliases {
		if at == n {
			all = append(all, alias)
		}
	}
	slices.Sort(all)
	return all
}

// ByAlias returns the version that alias names; errs.NotFound when it names
// none.
func (r *Registry) ByAlias(ctx context.Context, model, alias string) (Version, error) {
	d, err := r.load(ctx, model)
	if err != nil {
		return Version{}, err
	}
	n, ok := d.Aliases[alias]
	if !ok {
		return Version{}, fmt.Errorf("alias %q of model %q: %w", alias, model, errs.NotFound)
	}
	return r.version(ctx, d, n)
}

// version reads a version of a model that was read.
func (r *Registry) version(ctx context.Context, d *document, n int) (v Version, err error) {
	_, err = blob.ReadJSON(ctx, r.bucket, versionDocument(d.folder(), n), &v)
	if errors.Is(err, errs.NotFound) || err == nil && (v.Epoch != d.Epoch || d.removed(n)) {
		err = noVersion(d.Name, n)
	}
	if err != nil {
		return Version{}, fmt.Errorf("version %d of model %q: %w", n, d.Name, err)
	}
	v.Model = d.Name
	return v, nil
}

// SetAlias makes alias name version n, and keeps who moved it and why. Moving
// it to where it is changes nothing.
func (r *Registry) SetAlias(ctx context.Context, model, alias string, n int, who, why string) error {
	if err := checkModel(model); err != nil {
		return err
	}
	if err := cmp.Or(checkAlias(alias), checkReserved(alias)); err != nil {
		return err
	}
	_, _, d, err := r.get(ctx, model, n)
	for {
		if err != nil {
			return err
		}
		if d.removed(n) {
			return noVersion(model, n)
		}
		if d.Aliases[alias] == n {
			return nil
		}
		epoch := d.Epoch
		if err := r.moveAlias(ctx, d, Move{Alias: alias, To: n, Who: who, Why: why}); err != nil {
			return err
		}
		if err := r.write(ctx, d); !errors.Is(err, errs.Conflict) || ctx.Err() != nil {
			errs.Wrap(&err, "move alias %q of model %q", alias, model)
			return err
		}
		if d, err = r.load(ctx, model); err == nil && d.Epoch != epoch { // deleted and made again meanwhile
			return noVersion(model, n)
		}
	}
}

// DeleteAlias removes alias; removing one that is not there changes nothing.
func (r *Registry) DeleteAlias(ctx context.Context, model, alias, who, why string) error {
	if err := checkAlias(alias); err != nil {
		return err
	}
	_, err := r.update(ctx, model, func(d *document) error {
		if _, ok := d.Aliases[alias]; !ok {
			return blob.ErrUnchanged
		}
		return r.moveAlias(ctx, d, Move{Alias: alias, Who: who, Why: why})
	})
	return err
}

// moveAlias changes an alias in d, and tells of it there.
func (r *Registry) moveAlias(ctx context.Context, d *document, move Move) error {
	if err := r.archive(ctx, d); err != nil {
		return err
	}
	move.Sequence, move.From, move.Time = 1, d.Aliases[move.Alias], r.now().UTC()
	if len(d.Moves) > 0 {
		move.Sequence = d.Moves[len(d.Moves)-1].Sequence + 1
	}
	if d.Aliases == nil {
		d.Aliases = map[string]int{}
	}
	d.Aliases[move.Alias] = move.To
	if move.To == 0 {
		delete(d.Aliases, move.Alias)
	}
	d.Updated = move.Time
	d.Moves = append(d.Moves, move)
	return nil
}

// archive takes the oldest moves out of a full document, after storing them. A
// move never changes, so storing them twice stores the same.
func (r *Registry) archive(ctx context.Context, m *document) error {
	if len(m.Moves) < maxMoves {
		return nil
	}
	old := m.Moves[:archiveMoves]
	name := fmt.Sprintf("%shistory/%08d.json", prefix(m.folder()), old[0].Sequence)
	if _, err := blob.WriteJSON(ctx, r.bucket, name, old, blob.Absent); err != nil && !errors.Is(err, errs.Conflict) {
		return err
	}
	m.Moves = m.Moves[archiveMoves:]
	return nil
}

// History returns every move of a model's aliases, oldest first.
func (r *Registry) History(ctx context.Context, model string) ([]Move, error) {
	m, err := r.load(ctx, model)
	if err != nil {
		return nil, err
	}
	first := 1
	if len(m.Moves) > 0 {
		first = m.Moves[0].Sequence
	}
	var moves []Move
	for a, err := range r.bucket.List(ctx, prefix(m.folder())+"history/") {
		if err != nil {
			return nil, fmt.Errorf("list the alias history of %q: %w", model, err)
		}
		var old []Move
		if _, err := blob.ReadJSON(ctx, r.bucket, a.Name, &old); err != nil {
			return nil, err
		}
		// A document stored just before a crash repeats what model.json holds.
		if len(old) > 0 && old[0].Sequence < first {
			moves = append(moves, old...)
		}
	}
	return append(moves, m.Moves...), nil
}

// Resolve returns the version that an MLflow model URI names: models:/NAME/N,
// models:/NAME@ALIAS or models:/NAME/latest.
func (r *Registry) Resolve(ctx context.Context, uri string) (Version, error) {
	rest, ok := strings.CutPrefix(uri, "models:/")
	if !ok {
		return Version{}, badURI(uri)
	}
	rest, err := url.PathUnescape(strings.TrimLeft(rest, "/"))
	if err != nil {
		return Version{}, badURI(uri)
	}
	if model, version, ok := strings.Cut(rest, "/"); ok {
		if strings.EqualFold(version, "latest") {
			return r.latest(ctx, model)
		}
		n, err := strconv.Atoi(version)
		if err != nil || n < 1 {
			return Version{}, badURI(uri)
		}
		return r.Get(ctx, model, n)
	}
	at := strings.LastIndexByte(rest, '@')
	if at < 0 {
		return Version{}, badURI(uri)
	}
	return r.ByAlias(ctx, rest[:at], rest[at+1:])
}

func badURI(uri string) error {
	return errs.Permanentf(CodeBadURI, "model URI %q: write models:/NAME/VERSION or models:/NAME@ALIAS", uri)
}

func (r *Registry) latest(ctx context.Context, model string) (Version, error) {
	d, err := r.load(ctx, model)
	if err != nil {
		return Version{}, err
	}
	refs, err := r.refs(ctx, d.folder())
	if err != nil {
		return Version{}, err
	}
	last := 0
	for _, ref := range refs {
		if d.counts(ref) {
			last = max(last, ref.number)
		}
	}
	if last == 0 {
		return Version{}, fmt.Errorf("latest version of model %q: %w", model, errs.NotFound)
	}
	return r.version(ctx, d, last)
}

// Named returns the version that an alias names, or with the alias latest the
// newest, and its model. Asking for an alias that names none is a fault of the
// request, not a missing version: so MLflow has it.
func (r *Registry) Named(ctx context.Context, model, alias string) (Model, Version, error) {
	if err := cmp.Or(checkModel(model), checkAlias(alias)); err != nil {
		return Model{}, Version{}, err
	}
	if strings.EqualFold(alias, "latest") {
		m, versions, err := r.Versions(ctx, model)
		if err == nil && len(versions) == 0 {
			err = fault.Missing("Latest version not found for model %s.", model)
		}
		if err != nil {
			return Model{}, Version{}, err
		}
		return m, versions[len(versions)-1], nil
	}
	d, err := r.load(ctx, model)
	if err != nil {
		return Model{}, Version{}, err
	}
	n, ok := d.Aliases[alias]
	if !ok {
		return Model{}, Version{}, fault.Invalid("Registered model alias %s not found.", alias)
	}
	v, err := r.version(ctx, d, n)
	return d.Model, v, err
}

// Find returns version n of a model, and the model.
func (r *Registry) Find(ctx context.Context, model string, n int) (Model, Version, error) {
	v, _, d, err := r.get(ctx, model, n)
	if err != nil {
		return Model{}, Version{}, err
	}
	return d.Model, v, nil
}
