package status

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/litterloop/litterloop/shared/dataset"
	"github.com/litterloop/litterloop/shared/drift"
	"github.com/litterloop/litterloop/shared/registry"
	"github.com/litterloop/litterloop/shared/rollout"
	"github.com/litterloop/litterloop/shared/training"
	"github.com/litterloop/litterloop/shared/validation"
)

var noon = time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)

func at(minutes int) time.Time { return noon.Add(time.Duration(minutes) * time.Minute) }

func TestStages(t *testing.T) {
	ended := at(5)
	s := Snapshot{
		Batches:   []dataset.BatchStatus{{Batch: "april", State: dataset.Rejected, Updated: at(2)}, {Batch: "march", State: dataset.Converted, Updated: at(1)}},
		Current:   "d1",
		Validated: at(1),
		Refused:   []validation.Result{{Dataset: "d2", Created: at(3)}},
		Trainings: []training.Training{{Run: "a", State: training.Failed}, {Run: "b", Trigger: "drift", State: training.Running, Started: at(4)}},
		Progress:  &training.Progress{Phase: "train", Step: 3, Steps: 400},
		Models:    []registry.Version{{Version: 7, Created: at(4)}},
		Rollouts:  []rollout.Rollout{{Revision: "litter-v6", State: rollout.RolledBack, Failure: "too slow", Started: at(4), Ended: &ended}},
		Drift:     &drift.Summary{Created: at(6), Verdict: drift.Verdict{Outcome: drift.Stable, Reason: "as ever"}},
		Queues:    []Queue{{"alerts", 4, 1}, {"dead-letters", 2, 9}, {"deploy", 1, 60}, {"retrain", 1, 300}, {"train", 2, 5}},
	}
	want := []Stage{
		{Name: "Data", State: "rejected", Last: "batch april", When: at(2)},
		{Name: "Validation", State: "refused", Last: "version d2", When: at(3), Wanted: "`litterloop data approve`, or drop better labels"},
		{Name: "Training", State: "running", Last: "run b, drift", When: at(4), Wanted: "train, 3 of 400", Waiting: 3, Oldest: 300},
		{Name: "Registry", State: "waiting", Last: "version 7, not judged yet", When: at(4)},
		{Name: "Rollout", State: "rolled-back", Last: "too slow", When: at(5), Waiting: 1, Oldest: 60},
		{Name: "Drift", State: "stable", Last: "as ever", When: at(6)},
	}
	if d := cmp.Diff(want, s.Stages()); d != "" {
		t.Errorf("stages (-want +got):\n%s", d)
	}
	if s.DeadLetters().Waiting != 2 || s.Alerts().Waiting != 4 {
		t.Errorf("%+v, %+v", s.DeadLetters(), s.Alerts())
	}
}

func TestStages_beforeAnything(t *testing.T) {
	for _, g := range (Snapshot{}).Stages() {
		if g.State != "waiting" || g.Last == "" || !g.When.IsZero() || g.Waiting != 0 {
			t.Errorf("%+v", g)
		}
	}
}
