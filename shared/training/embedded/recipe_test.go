package embedded

import (
	"os"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
)

// The files under models explain every parameter; they may not drift from the code.
func TestDefaults_areTheOnesExplained(t *testing.T) {
	for file, want := range map[string]Recipe{"scratch.yaml": DefaultRecipe(), "finetune.yaml": DefaultFinetune()} {
		data, err := os.ReadFile("../../../models/" + file)
		if err != nil {
			t.Fatal(err)
		}
		var r Recipe
		if err := yaml.UnmarshalWithOptions(data, &r, yaml.DisallowUnknownField()); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, r); diff != "" {
			t.Errorf("models/%s differs from the default (-code +file):\n%s", file, diff)
		}
		if err := r.Validate(); err != nil {
			t.Errorf("models/%s: %v", file, err)
		}
	}
}

func TestRecipe_Validate(t *testing.T) {
	if err := DefaultRecipe().Validate(); err != nil {
		t.Error("the default recipe is refused:", err)
	}
	r := DefaultRecipe()
	r.Steps, r.ImageSize, r.LearningRate, r.Augment.Mosaic = 0, 250, -1, 3
	err := r.Validate()
	for _, want := range []string{"steps is 0", "image_size is 250", "learning_rate is -1", "augment.mosaic is 3"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not say %q", err, want)
		}
	}
}
