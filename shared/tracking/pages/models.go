package pages

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/modelpackage"
	"github.com/litterloop/litterloop/shared/registry"
	"github.com/litterloop/litterloop/shared/registry/gate"
	"github.com/litterloop/litterloop/shared/rollout"
)

// modelBody is a registered model.
type modelBody struct {
	Model    registry.Model
	Versions []shown // newest first
	History  []registry.Move
}

func (b modelBody) title() string { return "Model " + b.Model.Name }

// shown is a version with what points at it.
type shown struct {
	registry.Version
	Aliases []string
	Rollout *rollout.Rollout
}

func (p *Pages) model(r *http.Request) (string, any, error) {
	ctx, name := r.Context(), r.PathValue("name")
	var b modelBody
	model, versions, err := p.models.Versions(ctx, name)
	if err != nil {
		return "", nil, err
	}
	b.Model = model
	for _, v := range slices.Backward(versions) {
		s := shown{Version: v, Aliases: model.AliasesOf(v.Version)}
		if s.Rollout, err = p.rollout(ctx, name, v.Version); err != nil {
			return "", nil, err
		}
		b.Versions = append(b.Versions, s)
	}
	b.History, err = p.models.History(ctx, name)
	slices.Reverse(b.History)
	return "model.html", b, err
}

// rollout is the record of a version's rollout; nil when there was none.
func (p *Pages) rollout(ctx context.Context, model string, version int) (*rollout.Rollout, error) {
	r, err := rollout.Load(ctx, p.o.Bucket, model, version)
	if errors.Is(err, errs.NotFound) {
		return nil, nil
	}
	return &r, err
}

// versionBody is a model's version with its lineage.
type versionBody struct {
	shown
	Of         registry.Model
	Card       *modelpackage.Card // nil: it is no package of this project's
	Evaluation *gate.Evaluation
	Recipe     string // JSON
}

func (b versionBody) title() string { return b.Model + " version " + strconv.Itoa(b.Version.Version) }

func (p *Pages) version(r *http.Request) (string, any, error) {
	ctx := r.Context()
	n, err := strconv.Atoi(r.PathValue("version"))
	if err != nil {
		return "", nil, errs.NotFound
	}
	var b versionBody
	if b.Of, b.Version, err = p.models.Find(ctx, r.PathValue("name"), n); err != nil {
		return "", nil, err
	}
	b.Aliases = b.Of.AliasesOf(n)
	if b.Rollout, err = p.rollout(ctx, b.Model, n); err != nil {
		return "", nil, err
	}
	if b.Package != "" {
		pkg, err := modelpackage.Load(ctx, p.o.Bucket, b.Package)
		switch {
		case err == nil:
			b.Card = &pkg.Card
			recipe, err := json.MarshalIndent(pkg.Card.Recipe, "", "  ")
			if err != nil {
				return "", nil, err
			}
			b.Recipe = string(recipe)
		case !errors.Is(err, errs.NotFound):
			return "", nil, err
		}
	}
	if b.Gate != nil && b.Gate.Evaluation != "" {
		var e gate.Evaluation
		if _, err := blob.ReadJSON(ctx, p.o.Bucket, b.Gate.Evaluation, &e); err == nil {
			b.Evaluation = &e
		} else if !errors.Is(err, errs.NotFound) {
			return "", nil, err
		}
	}
	return "version.html", b, nil
}
