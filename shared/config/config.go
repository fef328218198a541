// Package config is the policy file, litterloop.yaml in the models bucket: what
// people may tune, each part with the package that it steers. Every key has a
// default; a file that is not there means the defaults.
package config

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/dataset"
	"github.com/litterloop/litterloop/shared/drift"
	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/registry"
	"github.com/litterloop/litterloop/shared/registry/gate"
	"github.com/litterloop/litterloop/shared/retrain"
	"github.com/litterloop/litterloop/shared/rollout"
	"github.com/litterloop/litterloop/shared/training"
	"github.com/litterloop/litterloop/shared/validation"
)

// Object is the file's name in the models bucket.
const Object = "litterloop.yaml"

// CodeFaulty marks a policy file that cannot be used.
const CodeFaulty errs.Code = "policy-faulty"

// Policy is the whole file.
type Policy struct {
	Dataset    dataset.Policy    `yaml:"dataset" json:"dataset"`
	Validation validation.Policy `yaml:"validation" json:"validation"`
	Train      Train             `yaml:"train" json:"train"`
	Registry   registry.Policy   `yaml:"registry" json:"registry"`
	Gate       gate.Policy       `yaml:"gate" json:"gate"`
	Rollout    rollout.Policy    `yaml:"rollout" json:"rollout"`
	Drift      drift.Policy      `yaml:"drift" json:"drift"`
	Retrain    retrain.Policy    `yaml:"retrain" json:"retrain"`
	// Detector holds variables for the detector's containers, such as
	// PREDICTION_LOG_FLUSH; see `litterloop detector --help`.
	Detector map[string]string `yaml:"detector" json:"detector,omitempty"`
}

// Train steers the training job.
type Train struct {
	training.Policy `yaml:",inline"`
	Recipe          Recipe `yaml:"recipe" json:"recipe,omitempty"`
}

// Recipe holds the name of the recipe that trains ("scratch" where there is
// none) and those of its parameters that differ from their defaults. A name
// alone, `recipe: finetune`, means its defaults. The trainer itself checks them:
// functions do not link it.
type Recipe map[string]any

// UnmarshalYAML reads a name or a mapping.
func (r *Recipe) UnmarshalYAML(decode func(any) error) error {
	var name string
	if decode(&name) == nil {
		*r = Recipe{"name": name}
		return nil
	}
	return decode((*map[string]any)(r))
}

// Default is the policy without a file.
func Default() Policy {
	return Policy{
		Dataset:    dataset.DefaultPolicy(),
		Validation: validation.DefaultPolicy(),
		Train:      Train{Policy: training.DefaultPolicy()},
		Registry:   registry.DefaultPolicy(),
		Gate:       gate.DefaultPolicy(),
		Rollout:    rollout.DefaultPolicy(),
		Drift:      drift.DefaultPolicy(),
		Retrain:    retrain.DefaultPolicy(),
	}
}

// Parse reads a policy file; what it does not name keeps its default. Unknown
// keys and values of the wrong kind are told with line and column, and values
// out of range all at once. The error is permanent: CodeFaulty.
func Parse(text []byte) (Policy, error) {
	p := Default()
	faulty := func(err error) (Policy, error) {
		return p, errs.Permanentf(CodeFaulty, "%s: %s", Object, yaml.FormatError(err, false, true))
	}
	var tree any
	if err := yaml.Unmarshal(text, &tree); err != nil {
		return faulty(err)
	}
	if tree == nil { // empty, or nothing but comments
		return p, nil
	}
	if empty := valueless(tree, ""); len(empty) > 0 { // would clear the defaults below the key
		return p, errs.Permanentf(CodeFaulty, "%s: %s: no value; give one, or leave the key out", Object, strings.Join(empty, ", "))
	}
	if err := yaml.UnmarshalWithOptions(text, &p, yaml.Strict()); err != nil {
		return faulty(err)
	}
	if err := p.Validate(); err != nil {
		return p, errs.Permanentf(CodeFaulty, "%s: %w", Object, err)
	}
	return p, nil
}

// valueless are the paths of the keys that have no value, in order.
func valueless(v any, path string) []string {
	m, ok := v.(map[string]any)
	if !ok {
		return nil
	}
	var found []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		below := strings.TrimPrefix(path+"."+k, ".")
		if m[k] == nil {
			found = append(found, below)
		}
		found = append(found, valueless(m[k], below)...)
	}
	return found
}

// Validate reports every fault at once.
func (p Policy) Validate() error {
	var faults []error
	for _, part := range []struct {
		name string
		err  error
	}{
		{"dataset", p.Dataset.Validate()}, {"validation", p.Validation.Validate()}, {"train", p.Train.Validate()},
		{"registry", p.Registry.Validate()}, {"gate", p.Gate.Validate()}, {"rollout", p.Rollout.Validate()}, {"drift", p.Drift.Validate()}, {"retrain", p.Retrain.Validate()},
	} {
		if part.err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", part.name, part.err))
		}
	}
	return errors.Join(faults...)
}

// Read returns the policy of a deployment from its models bucket.
func Read(ctx context.Context, models blob.Bucket) (Policy, error) {
	text, _, err := blob.ReadAll(ctx, models, Object)
	if errors.Is(err, errs.NotFound) {
		return Default(), nil
	}
	if err != nil {
		return Policy{}, fmt.Errorf("read the policy gs://%s/%s: %w", models.Name(), Object, err)
	}
	return Parse(text)
}

// Hash identifies the policy, however it was written down.
func (p Policy) Hash() (string, error) {
	text, err := json.Marshal(p)
	if err != nil {
		return "", fmt.Errorf("encode the policy: %w", err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8]), nil
}
