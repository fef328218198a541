package tracking

import (
	"context"
	"slices"
	"unicode/utf8"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/tracking/fault"
)

// Dataset is a data set that a run used, as the client describes it.
type Dataset struct {
	Name       string `json:"name"`
	Digest     string `json:"digest"`
	SourceType string `json:"source_type"`
	Source     string `json:"source"`
	Schema     string `json:"schema,omitempty"`
	Profile    string `json:"profile,omitempty"`
}

// DatasetInput is a data set and what it was used for. Tags keep their order.
type DatasetInput struct {
	Tags    []Tag   `json:"tags,omitempty"`
	Dataset Dataset `json:"dataset"`
}

// Tag is a key and its value where order counts.
type Tag struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// TagContext is the input tag that says what a data set was used for.
const TagContext = "mlflow.data.context"

// ModelOutput is a logged model that a run made at a step.
type ModelOutput struct {
	ID   string `json:"model_id"`
	Step int64  `json:"step"`
}

// limits of a data set's description, in characters.
var datasetLimits = []struct {
	name  string
	limit int
	of    func(Dataset) string
}{
	{"name", 500, func(d Dataset) string { return d.Name }},
	{"digest", 36, func(d Dataset) string { return d.Digest }},
	{"source", 65535, func(d Dataset) string { return d.Source }},
	{"schema", 1048575, func(d Dataset) string { return d.Schema }},
	{"profile", 16777215, func(d Dataset) string { return d.Profile }},
}

func checkInput(in DatasetInput) error {
	for _, l := range datasetLimits {
		if err := tooLong(l.name, l.limit, l.of(in.Dataset)); err != nil {
			return err
		}
	}
	for _, t := range in.Tags {
		if utf8.RuneCountInString(t.Key) > 255 {
			return fault.Invalid("'key' exceeds the maximum length of 255 characters")
		}
		if utf8.RuneCountInString(t.Value) > 500 {
			return fault.Invalid("'value' exceeds the maximum length of 500 characters")
		}
	}
	return nil
}

// LogInputs adds data sets and logged models to a run's inputs; what is there
// already, by name and digest, stays as it is.
func (s *Store) LogInputs(ctx context.Context, run string, inputs []DatasetInput, models []string) error {
	for _, in := range inputs {
		if err := checkInput(in); err != nil {
			return err
		}
	}
	_, err := s.update(ctx, run, func(d *document) error {
		changed := false
		for _, in := range inputs {
			same := func(have DatasetInput) bool {
				return have.Dataset.Name == in.Dataset.Name && have.Dataset.Digest == in.Dataset.Digest
			}
			if !slices.ContainsFunc(d.Inputs, same) {
				d.Inputs = append(d.Inputs, in)
				changed = true
			}
		}
		for _, m := range models {
			if !slices.Contains(d.ModelInputs, m) {
				d.ModelInputs = append(d.ModelInputs, m)
				changed = true
			}
		}
		if !changed {
			return blob.ErrUnchanged
		}
		return nil
	})
	return err
}

// LogOutputs adds logged models to a run's outputs.
func (s *Store) LogOutputs(ctx context.Context, run string, models []ModelOutput) error {
	_, err := s.update(ctx, run, func(d *document) error {
		for _, m := range models {
			if !slices.Contains(d.Outputs, m) {
				d.Outputs = append(d.Outputs, m)
			}
		}
		return nil
	})
	return err
}
