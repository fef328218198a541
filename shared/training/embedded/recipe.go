package embedded

import (
	"errors"
	"fmt"
	"runtime"

	"github.com/litterloop/litterloop/shared/training/embedded/augment"
	"github.com/litterloop/litterloop/shared/training/embedded/network"
	"github.com/litterloop/litterloop/shared/training/embedded/pretrained"
)

// Recipe is everything that decides what a training does with its data. The
// same recipe, data and start give the same weights on the same machine, ONNX
// Runtime and number of threads.
type Recipe struct {
	Name      Kind   `yaml:"name" json:"name"`
	Steps     int    `yaml:"steps" json:"steps"`                     // of a training that has no budget of time
	BatchSize int    `yaml:"batch_size" json:"batch_size"`           // photos a step
	Parts     int    `yaml:"parts" json:"parts"`                     // of a batch, worked on at the same time; normalisation is over a part
	ImageSize int    `yaml:"image_size" json:"image_size"`           // pixels a side; a multiple of 32
	ServeSize int    `yaml:"serve_size" json:"serve_size,omitempty"` // pixels that the model is measured and served at, where its input is free; 0: image_size
	Width     int    `yaml:"width" json:"width"`                     // of the network: a quarter of its neck's channels
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

	// A budget of time replaces steps, and with it the training is reproducible no
	// more: how far it comes depends on the machine.
	Seconds    float64 `yaml:"seconds" json:"seconds,omitempty"`         // by the clock; 0: no such budget
	CPUSeconds float64 `yaml:"cpu_seconds" json:"cpu_seconds,omitempty"` // of the whole process, all processors together

	// Of a training that starts from a pretrained detector.
	From           string  `yaml:"from" json:"from,omitempty"`                       // where its ONNX is; the caller reads it
	Cut            string  `yaml:"cut" json:"cut,omitempty"`                         // neck, backbone or auto: what learns lies behind it
	PretrainedRate float64 `yaml:"pretrained_rate" json:"pretrained_rate,omitempty"` // multiplies the learning rate of layers that were trained before

	Views   int `yaml:"views" json:"views,omitempty"`       // of each photo, shown again and again so that what stays is computed once; 0: always new ones
	CacheMB int `yaml:"cache_mb" json:"cache_mb,omitempty"` // for what is computed once, in MiB; where it holds fewer views there are fewer

	MaxOverlap float64 `yaml:"max_overlap" json:"max_overlap"` // IoU beyond which two boxes are one object, when held-out photos are measured

	CheckpointEvery int `yaml:"checkpoint_every" json:"checkpoint_every"` // steps; 0 is at the end alone
	ValidateEvery   int `yaml:"validate_every" json:"validate_every"`     // steps; 0 is at the end alone
	Patience        int `yaml:"patience" json:"patience,omitempty"`       // measurements without a better one before it stops; 0: never
}

// Kind is where a training begins.
type Kind string

// Kinds of training.
const (
	Scratch  Kind = "scratch"  // from nothing
	Finetune Kind = "finetune" // from a pretrained detector
)

// DefaultRecipe trains in a minute on two processor cores: measured on drawn
// litter, 160 photos, see docs/benchmarks.md.
func DefaultRecipe() Recipe {
	return Recipe{
		Name:  Scratch,
		Steps: 1000, BatchSize: 4, Parts: 2, ImageSize: 256, Width: 16, Seed: 1,
		LearningRate: 6e-3, FinalLearningRate: 0.02, WarmupSteps: 50, WeightDecay: 0.02, EMADecay: 0.995,
		ContinueSteps: 400, ContinueLearningRate: 3e-3,
		BoxWeight: 7.5, ClassWeight: 1, Augment: augment.DefaultPolicy(), PlainShare: 0.2,
		MaxOverlap: 0.7, CheckpointEvery: 100, ValidateEvery: 250,
	}
}

// DefaultFinetune adapts a pretrained detector in two minutes of processor time:
// measured on 76 photos of litter, see docs/benchmarks.md.
func DefaultFinetune() Recipe {
	r := DefaultRecipe()
	r.Name = Finetune
	r.Steps, r.ContinueSteps = 800, 300
	r.ImageSize, r.ServeSize = 416, 544
	r.LearningRate, r.ContinueLearningRate, r.WarmupSteps = 2e-3, 1e-3, 60
	r.EMADecay = 0.98
	r.MaxOverlap = 0.6
	r.Cut, r.PretrainedRate = autoCut, 0.3
	r.CacheMB = 256
	r.Augment.Mosaic = 0.3
	r.Augment.MinZoom, r.Augment.MaxZoom = 0.5, 1.5
	r.CheckpointEvery, r.ValidateEvery = 100, 200
	return r
}

// Validate reports every fault at once.
func (r Recipe) Validate() error {
	var faults []error
	check := func(ok bool, name string, value any, want string) {
		if !ok {
			faults = append(faults, fmt.Errorf("%s is %v; it must be %s", name, value, want))
		}
	}
	check(r.Name == Scratch || r.Name == Finetune, "name", r.Name, "scratch or finetune")
	check(r.Seconds >= 0, "seconds", r.Seconds, "0 (no budget) or more")
	check(r.CPUSeconds >= 0, "cpu_seconds", r.CPUSeconds, "0 (no budget) or more")
	if r.Name == Finetune {
		check(r.Cut == autoCut || r.Cut == string(pretrained.Neck) || r.Cut == string(pretrained.Backbone), "cut", r.Cut, "auto, neck or backbone")
		check(r.Views >= 0 && r.Views <= 10_000, "views", r.Views, "from 0 (always new ones) to 10000")
		check(r.CacheMB >= 0 && r.CacheMB <= 1<<20, "cache_mb", r.CacheMB, "from 0 to a million")
		check(r.PretrainedRate >= 0 && r.PretrainedRate <= 10, "pretrained_rate", r.PretrainedRate, "from 0 to 10")
	}
	check(r.Steps >= 1, "steps", r.Steps, "at least 1")
	check(r.ContinueSteps >= 1, "continue_steps", r.ContinueSteps, "at least 1")
	check(r.BatchSize >= 1 && r.BatchSize <= 256, "batch_size", r.BatchSize, "from 1 to 256")
	check(r.Parts >= 1 && r.BatchSize%max(r.Parts, 1) == 0, "parts", r.Parts, "at least 1 and divide batch_size")
	check(r.ImageSize >= 64 && r.ImageSize <= 2048 && r.ImageSize%network.MaxStride == 0, "image_size", r.ImageSize, "a multiple of 32 from 64 to 2048")
	check(r.ServeSize == 0 || r.ServeSize >= 64 && r.ServeSize <= 2048 && r.ServeSize%network.MaxStride == 0, "serve_size", r.ServeSize, "0 (image_size) or a multiple of 32 from 64 to 2048")
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
	check(r.MaxOverlap > 0 && r.MaxOverlap <= 1, "max_overlap", r.MaxOverlap, "above 0, at most 1")
	check(r.CheckpointEvery >= 0, "checkpoint_every", r.CheckpointEvery, "0 (at the end alone) or more")
	check(r.Patience >= 0 && (r.Patience == 0 || r.ValidateEvery > 0), "patience", r.Patience, "0 (never stop early) or more, with validate_every")
	check(r.ValidateEvery >= 0, "validate_every", r.ValidateEvery, "0 (at the end alone) or more")
	faults = append(faults, r.Augment.Validate())
	return errors.Join(faults...)
}

// continued is the recipe of a training that goes on from a previous model.
func (r Recipe) continued() Recipe {
	r.Steps, r.LearningRate = r.ContinueSteps, r.ContinueLearningRate
	return r
}

// served is the longest side, in pixels, of what the model is given in the end.
func (r Recipe) served() int {
	if r.ServeSize > 0 {
		return r.ServeSize
	}
	return r.ImageSize
}

func (r Recipe) threads() int {
	if r.Threads > 0 {
		return r.Threads
	}
	return runtime.GOMAXPROCS(0)
}
