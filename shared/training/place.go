package training

import "github.com/litterloop/litterloop/shared/tracking"

// Artifacts returns the object prefix, ending in /, of what a run of a model
// leaves: its package and the evidence for the gate. A model's runs are an
// experiment of that name.
func Artifacts(model, run string) string {
	return tracking.ArtifactPrefix(tracking.ExperimentID(model), run)
}

// Package returns the object prefix, ending in /, of a run's model package.
func Package(model, run string) string { return Artifacts(model, run) + "model/" }

// Checkpoint returns the object that holds an unfinished training's state.
func Checkpoint(run string) string { return "trainings/" + run + "/checkpoint" }

// TagDataset is the tag that a training's tracked run has its data set version in.
const TagDataset = "dataset"

// RunName is the name that a training's tracked run is shown by.
func RunName(model, run string) string { return model + "-" + run[:min(8, len(run))] }
