package ultralytics

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/litterloop/litterloop/shared/errs"
)

// InvalidRecipe is the reason of a recipe that can't be used.
const InvalidRecipe errs.Code = "recipe-invalid"

// Hub are the weights that Ultralytics publishes under the model's name.
const Hub = "hub"

// Recipe is what a training by Ultralytics may be told. Where a word is
// Ultralytics' own, it means what Ultralytics' documentation of `train` says.
type Recipe struct {
	Model string `json:"model"` // yolo11n to yolo11x; yolov8, yolo12 and yolo26 likewise
	// Weights to begin with: "hub", a path or gs:// of a .pt file, or "" for
	// none. Without the hub's, for want of a network, training begins from
	// scratch, and the run says so; but not where RequireWeights is set, and then
	// the job is started again, as often as a job that died.
	Weights         string         `json:"weights"`
	RequireWeights  bool           `json:"require_weights"`
	Epochs          int            `json:"epochs"`
	Patience        int            `json:"patience"` // epochs without gain before an early stop; 0 never stops early
	BatchSize       int            `json:"batch_size"`
	ImageSize       int            `json:"image_size"`       // pixels of the longest side, a multiple of 32
	Device          string         `json:"device"`           // "cpu", "0", "0,1"; "" takes a GPU where there is one
	Workers         int            `json:"workers"`          // processes that load photos
	Seed            int            `json:"seed"`             //
	CheckpointEvery int            `json:"checkpoint_every"` // epochs; a killed training loses no more
	Options         map[string]any `json:"options"`          // any other argument of Ultralytics' train, such as lr0 or mosaic
}

// DefaultRecipe is Ultralytics' own training of its smallest model.
func DefaultRecipe() Recipe {
	return Recipe{Model: "yolo11n", Weights: Hub, Epochs: 100, Patience: 30, BatchSize: 16, ImageSize: 640, Workers: 2, Seed: 1, CheckpointEvery: 1}
}

var models = regexp.MustCompile(`^yolo(v8|11|12|26)[nslmx]$`)

// owned are arguments that the recipe's other parameters, or the job, decide.
var owned = []string{"batch", "data", "device", "deterministic", "epochs", "exist_ok", "imgsz", "mode", "model", "name", "patience", "pretrained", "project", "resume", "save", "save_dir", "seed", "task", "workers"}

// Validate reports every fault at once.
func (r Recipe) Validate() error {
	var faults []error
	fault := func(wrong bool, format string, args ...any) {
		if wrong {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	fault(!models.MatchString(r.Model), "model %q: use yolo11n, s, m, l or x; or yolov8, yolo12, yolo26 with such a letter", r.Model)
	fault(r.Epochs < 1 || r.Epochs > 10_000, "epochs %d: use 1 to 10000", r.Epochs)
	fault(r.Patience < 0, "patience %d: use 0 (never stop early) or more", r.Patience)
	fault(r.BatchSize < 1 || r.BatchSize > 1024, "batch_size %d: use 1 to 1024", r.BatchSize)
	fault(r.ImageSize < 32 || r.ImageSize > 4096 || r.ImageSize%32 != 0, "image_size %d: use a multiple of 32, 32 to 4096", r.ImageSize)
	fault(r.Workers < 0 || r.Workers > 64, "workers %d: use 0 to 64", r.Workers)
	fault(r.CheckpointEvery < 1, "checkpoint_every %d: use 1 or more epochs", r.CheckpointEvery)
	fault(r.Weights != "" && r.Weights != Hub && !strings.HasSuffix(r.Weights, ".pt"), "weights %q: use hub, a path or gs:// ending in .pt, or nothing", r.Weights)
	fault(r.RequireWeights && r.Weights == "", "require_weights: weights names none; use hub, a path or gs://")
	for _, name := range slices.Sorted(maps.Keys(r.Options)) {
		fault(slices.Contains(owned, name), "options.%s: not to be set here; the recipe has parameters for what may be", name)
	}
	return errors.Join(faults...)
}

// parse reads a recipe. What it leaves out is as in DefaultRecipe; what no
// recipe has is an error.
func parse(recipe json.RawMessage) (Recipe, error) {
	r := DefaultRecipe()
	d := json.NewDecoder(bytes.NewReader(recipe))
	d.DisallowUnknownFields()
	err := d.Decode(&r)
	if err == nil {
		err = r.Validate()
	}
	if err != nil {
		return r, errs.Permanentf(InvalidRecipe, "recipe ultralytics: %w", err)
	}
	if r.Options == nil {
		r.Options = map[string]any{}
	}
	return r, nil
}
