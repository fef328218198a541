package registry

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"strconv"
	"strings"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/errs"
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

// ByAlias returns the version that alias names; errs.NotFound when it names
// none.
func (r *Registry) ByAlias(ctx context.Context, model, alias string) (Version, error) {
	m, err := r.Model(ctx, model)
	if err != nil {
		return Version{}, err
	}
	n, ok := m.Aliases[alias]
	if !ok {
		return Version{}, fmt.Errorf("alias %q of model %q: %w", alias, model, errs.NotFound)
	}
	return r.Get(ctx, model, n)
}

// SetAlias makes alias name version n, and keeps who moved it and why. Moving
// it to where it is changes nothing.
func (r *Registry) SetAlias(ctx context.Context, model, alias string, n int, who, why string) error {
	if err := checkAlias(alias); err != nil {
		return err
	}
	if _, err := r.Get(ctx, model, n); err != nil {
		return err
	}
	return r.move(ctx, model, Move{Alias: alias, To: n, Who: who, Why: why})
}

// DeleteAlias removes alias; removing one that is not there changes nothing.
func (r *Registry) DeleteAlias(ctx context.Context, model, alias, who, why string) error {
	if _, err := r.Model(ctx, model); err != nil {
		return err
	}
	return r.move(ctx, model, Move{Alias: alias, Who: who, Why: why})
}

func (r *Registry) move(ctx context.Context, model string, move Move) error {
	_, err := blob.Update(ctx, r.bucket, document(model), func(m *Model) error {
		if m.Aliases[move.Alias] == move.To {
			return blob.ErrUnchanged
		}
		if err := r.archive(ctx, m); err != nil {
			return err
		}
		move.Sequence, move.From, move.Time = 1, m.Aliases[move.Alias], r.now().UTC()
		if len(m.Moves) > 0 {
			move.Sequence = m.Moves[len(m.Moves)-1].Sequence + 1
		}
		if m.Aliases == nil {
			m.Aliases = map[string]int{}
		}
		m.Aliases[move.Alias] = move.To
		if move.To == 0 {
			delete(m.Aliases, move.Alias)
		}
		m.Updated = move.Time
		m.Moves = append(m.Moves, move)
		return nil
	})
	if err != nil {
		return fmt.Errorf("move alias %q of model %q: %w", move.Alias, model, err)
	}
	return nil
}

// archive takes the oldest moves out of a full document, after storing them. A
// move never changes, so storing them twice stores the same.
func (r *Registry) archive(ctx context.Context, m *Model) error {
	if len(m.Moves) < maxMoves {
		return nil
	}
	old := m.Moves[:archiveMoves]
	name := fmt.Sprintf("%shistory/%08d.json", prefix(m.Name), old[0].Sequence)
	if _, err := blob.WriteJSON(ctx, r.bucket, name, old, blob.Absent); err != nil && !errors.Is(err, errs.Conflict) {
		return err
	}
	m.Moves = m.Moves[archiveMoves:]
	return nil
}

// History returns every move of a model's aliases, oldest first.
func (r *Registry) History(ctx context.Context, model string) ([]Move, error) {
	m, err := r.Model(ctx, model)
	if err != nil {
		return nil, err
	}
	first := 1
	if len(m.Moves) > 0 {
		first = m.Moves[0].Sequence
	}
	var moves []Move
	for a, err := range r.bucket.List(ctx, prefix(model)+"history/") {
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
	if err := checkModel(model); err != nil {
		return Version{}, err
	}
	last := 0
	for a, err := range r.bucket.List(ctx, versionPrefix(model)) {
		if err != nil {
			return Version{}, fmt.Errorf("list versions of %q: %w", model, err)
		}
		if n, ok := versionNumber(model, a.Name); ok {
			last = max(last, n)
		}
	}
	if last == 0 {
		return Version{}, fmt.Errorf("latest version of model %q: %w", model, errs.NotFound)
	}
	return r.Get(ctx, model, last)
}
