package training

import "encoding/json"

// Names of the recipes that a training may follow.
const (
	Scratch     = "scratch"     // the embedded trainer's own network, from nothing
	Finetune    = "finetune"    // the embedded trainer, from a pretrained detector
	Ultralytics = "ultralytics" // Ultralytics' YOLO, in a Python process of its own
)

// RecipeName returns the name in a recipe; Scratch where it has none.
func RecipeName(recipe json.RawMessage) string {
	var named struct {
		Name string `json:"name"`
	}
	if err := json.Unmarshal(recipe, &named); err != nil || named.Name == "" {
		return Scratch
	}
	return named.Name
}
