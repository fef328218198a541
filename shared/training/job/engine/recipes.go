package engine

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/training"
	"github.com/litterloop/litterloop/shared/training/embedded"
	"github.com/litterloop/litterloop/shared/training/job"
)

// Recipes is the trainer of a job that knows several recipes, by name: it gives
// each training to the one that the recipe's "name" says.
type Recipes map[string]job.Trainer

// Complete implements job.Trainer.
func (r Recipes) Complete(recipe json.RawMessage) (json.RawMessage, error) {
	t, parameters, err := r.pick(recipe)
	if err != nil {
		return nil, err
	}
	complete, err := t.Complete(parameters)
	if err != nil {
		return nil, err
	}
	var named map[string]json.RawMessage
	if err := json.Unmarshal(complete, &named); err != nil {
		return nil, errs.Permanentf(embedded.InvalidRecipe, "recipe: %w", err)
	}
	named["name"], err = json.Marshal(training.RecipeName(recipe))
	if err != nil {
		return nil, err
	}
	return json.Marshal(named)
}

// Fits implements job.Trainer.
func (r Recipes) Fits(start job.Start, classes []string, recipe json.RawMessage) error {
	t, parameters, err := r.pick(recipe)
	if err != nil {
		return err
	}
	return t.Fits(start, classes, parameters)
}

// Train implements job.Trainer.
func (r Recipes) Train(ctx context.Context, data job.Data, recipe json.RawMessage, start *job.Start, hooks job.Hooks) (job.Model, error) {
	t, parameters, err := r.pick(recipe)
	if err != nil {
		return job.Model{}, err
	}
	return t.Train(ctx, data, parameters, start, hooks)
}

// pick returns a recipe's trainer and its parameters without the name.
func (r Recipes) pick(recipe json.RawMessage) (job.Trainer, json.RawMessage, error) {
	name := training.RecipeName(recipe)
	t, ok := r[name]
	if !ok {
		return nil, nil, errs.Permanentf(embedded.InvalidRecipe, "recipe: there is none named %q; use %s",
			name, strings.Join(slices.Sorted(maps.Keys(r)), ", "))
	}
	parameters := map[string]json.RawMessage{}
	if err := json.Unmarshal(recipe, &parameters); err != nil {
		return nil, nil, errs.Permanentf(embedded.InvalidRecipe, "recipe: %w", err)
	}
	delete(parameters, "name")
	rest, err := json.Marshal(parameters)
	return t, rest, err
}
