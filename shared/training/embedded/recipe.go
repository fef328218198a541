package embedded

import (
	"errors"
	"fmt"
	"runtime"

	"github.com/litterloop/litterloop/shared/training/embedded/augment"
	"github.com/litterloop/litterloop/shared/training/embedded/network"
)

// Recipe is everything that decides what a training does with its data. The
// same recipe, data and start give the same weights on the same machine, ONNX
// Runtime and number of threads.
type Recipe struct {
	Steps     int    `yaml:"steps" json:"steps"`           // of a training from scratch
	BatchSize int    `yaml:"batch_size" json:"batch_size"` // photos a step
	Parts     int    `yaml:"parts" json:"parts"`           // of a batch, worked on at the same time; normalisation is over a part
	ImageSize int    `yaml:"image_size" json:"image_size"` // pixels a side; a multiple of 32
	Width     int    `yaml:"width" json:"width"`           // of the network: a quarter of its neck's channels
	Seed      uint64 `yaml:"seed" json:"seed"`
	Threads   int    `yaml:"threads" json:"threads"` // of ONNX Runtime; 0 is one a processor

	LearningRate      float64 `yaml:"learning_rate" json:"learning_rate"`             // the highest, after the warm-up
	FinalLearningRate float64 `yaml:"final_learning_rate" json:"final_learning_rate"` // at the end, as a share of the highest
	WarmupSteps       int     `yaml:"warmup_steps" json:"warmup_steps"`
	WeightDecay       float64 `yaml:"weight_decay" json:"weight_decay"`
	EMADecay          float64 `yaml:"ema_decay" json:"ema_decay"` // of the averaged weights that become the model

	// A training that goes on from a previous model is shorter and gentler.
	ContinueSteps        int     `yaml:"continue_steps" json:"continue_steps"`
	ContinueLearningRate float64 `yaml:"continue_learning_rate" json:"continue_learning_rate"`

	BoxWeight   float64        `yaml:"box_weight" json:"box_weight"` // of the box loss
	ClassWeight float64        `yaml:"class_weight" json:"class_weight"`
	Augment     augment.Policy `yaml:"augment" json:"augment"`
	PlainShare  float64        `yaml:"plain_share" json:"plain_share"` // of the steps, at the end, without mosaics

	CheckpointEvery int `yaml:"checkpoint_every" json:"checkpoint_every"` // steps; 0 is at the end alone
	ValidateEvery   int `yaml:"validate_every" json:"validate_every"`     // steps; 0 is at the end alone
}

// DefaultRecipe trains in a minute on two processor cores: measured on drawn
// litter, 160 photos, see docs/benchmarks.md.
func DefaultRecipe() Recipe {
	return Recipe{
		Steps: 1000, BatchSize: 4, Parts: 2, ImageSize: 256, Width: 16, Seed: 1,
		LearningRate: 6e-3, FinalLearningRate: 0.02, WarmupSteps: 50, WeightDecay: 0.02, EMADecay: 0.995,
		ContinueSteps: 400, ContinueLearningRate: 3e-3,
		BoxWeight: 7.5, ClassWeight: 1, Augment: augment.DefaultPolicy(), PlainShare: 0.2,
		CheckpointEvery: 100, ValidateEvery: 250,
	}
}

// Validate reports every fault at once.
func (r Recipe) Validate() error {
	var faults []error
	check := func(ok bool, name string, value any, want string) {
		if !ok {
			faults = append(faults, fmt.Errorf("%s is %v; it must be %s", name, value, want))
		}
	}
	check(r.Steps >= 1, "steps", r.Steps, "at least 1")
	check(r.ContinueSteps >= 1, "continue_steps", r.ContinueSteps, "at least 1")
	check(r.BatchSize >= 1 && r.BatchSize <= 256, "batch_size", r.BatchSize, "from 1 to 256")
	check(r.Parts >= 1 && r.BatchSize%max(r.Parts, 1) == 0, "parts", r.Parts, "at least 1 and divide batch_size")
	check(r.ImageSize >= 64 && r.ImageSize <= 2048 && r.ImageSize%network.MaxStride == 0, "image_size", r.ImageSize, "a multiple of 32 from 64 to 2048")
	check(r.Width >= 2 && r.Width <= 128 && r.Width%2 == 0, "width", r.Width, "an even number from 2 to 128")
	check(r.Threads >= 0, "threads", r.Threads, "0 (one a processor) or more")
	check(r.LearningRate > 0 && r.LearningRate <= 1, "learning_rate", r.LearningRate, "above 0, at most 1")
	check(r.ContinueLearningRate > 0 && r.ContinueLearningRate <= 1, "continue_learning_rate", r.ContinueLearningRate, "above 0, at most 1")
	check(r.FinalLearningRate >= 0 && r.FinalLearningRate <= 1, "final_learning_rate", r.FinalLearningRate, "from 0 to 1")
	check(r.WarmupSteps >= 0, "warmup_steps", r.WarmupSteps, "0 or more")
	check(r.WeightDecay >= 0 && r.WeightDecay < 1, "weight_decay", r.WeightDecay, "from 0 to below 1")
	check(r.EMADecay >= 0 && r.EMADecay < 1, "ema_decay", r.EMADecay, "from 0 to below 1")
	check(r.BoxWeight >= 0, "box_weight", r.BoxWeight, "0 or more")
	check(r.ClassWeight >= 0, "class_weight", r.ClassWeight, "0 or more")
	check(r.PlainShare >= 0 && r.PlainShare <= 1, "plain_share", r.PlainShare, "from 0 to 1")
	check(r.CheckpointEvery >= 0, "checkpoint_every", r.CheckpointEvery, "0 (at the end alone) or more")
	check(r.ValidateEvery >= 0, "validate_every", r.ValidateEvery, "0 (at the end alone) or more")
	faults = append(faults, r.Augment.Validate())
	return errors.Join(faults...)
}

// continued is the recipe of a training that goes on from a previous model.
func (r Recipe) continued() Recipe {
	r.Steps, r.LearningRate = r.ContinueSteps, r.ContinueLearningRate
	return r
}

func (r Recipe) threads() int {
	if r.Threads > 0 {
		return r.Threads
	}
	return runtime.GOMAXPROCS(0)
}
