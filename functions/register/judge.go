package register

import (
	"context"
	"errors"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/modelpackage"
	"github.com/litterloop/litterloop/shared/registry"
	"github.com/litterloop/litterloop/shared/registry/gate"
	"github.com/litterloop/litterloop/shared/training"
)

// version returns the run's registered version, made when missing.
func (f *Function) version(ctx context.Context, t training.Training) (registry.Version, error) {
	at := training.Package(f.Model, t.Run)
	var card modelpackage.Card
	if _, err := blob.ReadJSON(ctx, f.Models, at+modelpackage.CardFile, &card); err != nil {
		return registry.Version{}, err
	}
	return f.Registry.Create(ctx, registry.Version{Model: f.Model, Run: t.Run, Package: at, Dataset: t.Dataset, SHA256: card.SHA256})
}

// judge returns the verdict on a version: the one it has, or one made now and
// recorded. fresh is false when the evidence compares with another model than
// the one that serves, or on another data set version than the newest.
func (f *Function) judge(ctx context.Context, t training.Training, v registry.Version) (verdict gate.Verdict, fresh bool, err error) {
	if v.Gate != nil {
		return *v.Gate, true, nil
	}
	evidence := training.Artifacts(f.Model, t.Run) + gate.EvaluationFile
	var e gate.Evaluation
	if _, err := blob.ReadJSON(ctx, f.Models, evidence, &e); errors.Is(err, errs.NotFound) {
		return gate.Verdict{}, false, nil
	} else if err != nil {
		return gate.Verdict{}, false, err
	}
	serving, err := f.Registry.Aliases(ctx, f.Model)
	if err != nil {
		return gate.Verdict{}, false, err
	}
	newest, err := f.Current(ctx)
	if err != nil {
		return gate.Verdict{}, false, err
	}
	if e.Against != serving[registry.Staging] || e.Dataset != newest.ID {
		return gate.Verdict{}, false, nil
	}
	verdict = f.Gate.Decide(e)
	verdict.Evaluation, verdict.Decided = evidence, f.Now().UTC()
	v, err = f.Registry.SetGate(ctx, f.Model, v.Version, verdict)
	return verdict, true, err
}
