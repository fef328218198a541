package status

import (
	"cmp"
	"fmt"
	"time"

	"github.com/litterloop/litterloop/shared/bus"
	"github.com/litterloop/litterloop/shared/training"
)

// Stage is a step of the loop, for people: what it did last, and what waits for
// it.
type Stage struct {
	Name    string    `json:"name"`
	State   string    `json:"state"` // a word; "waiting" before its first time
	Last    string    `json:"last"`
	When    time.Time `json:"when,omitzero"`    // of Last
	Wanted  string    `json:"wanted,omitempty"` // what is under way, or what people should do
	Waiting int64     `json:"waiting"`          // events not handled yet
	Oldest  float64   `json:"oldest,omitempty"` // age of the oldest of them, seconds
}

// subscriptions wake a stage, by its name; drift is the schedule's.
var subscriptions = map[string][]string{
	"Data": {"convert"}, "Validation": {"validate"}, "Training": {"train", "retrain"}, "Registry": {"register"}, "Rollout": {"deploy"},
}

// Stages are the steps in the order of the loop.
func (s Snapshot) Stages() []Stage {
	all := []Stage{s.data(), s.validation(), s.training(), s.registry(), s.rollout(), s.drift()}
	for i := range all {
		for _, name := range subscriptions[all[i].Name] {
			q := s.Waiting(name)
			all[i].Waiting += q.Waiting
			all[i].Oldest = max(all[i].Oldest, q.Oldest)
		}
	}
	return all
}

// DeadLetters are events that were given up.
func (s Snapshot) DeadLetters() Queue { return s.Waiting(bus.DeadLetters) }

// Alerts are what the loop has to say and nobody has acknowledged.
func (s Snapshot) Alerts() Queue { return s.Waiting(bus.Alerts) }

func (s Snapshot) data() Stage {
	g := Stage{Name: "Data", State: "waiting", Last: "nothing was dropped yet"}
	for _, b := range s.Batches {
		if !b.Updated.Before(g.When) {
			g.State, g.Last, g.When, g.Wanted = string(b.State), "batch "+b.Batch, b.Updated, b.WaitsFor()
		}
	}
	return g
}

func (s Snapshot) validation() Stage {
	g := Stage{Name: "Validation", State: "waiting", Last: "no version passed yet"}
	if s.Current != "" {
		g.State, g.Last, g.When = "passed", "version "+short(s.Current), s.Validated
	}
	if n := len(s.Refused); n > 0 {
		r := s.Refused[n-1]
		g.State, g.Last, g.When = "refused", "version "+short(r.Dataset), r.Created
		g.Wanted = "`litterloop data approve`, or drop better labels"
	}
	return g
}

func (s Snapshot) training() Stage {
	g := Stage{Name: "Training", State: "waiting", Last: "none yet"}
	if n := len(s.Trainings); n > 0 {
		t := s.Trainings[n-1]
		g.State, g.When = string(t.State), t.Started
		g.Last = cmp.Or(t.Failure, "run "+short(t.Run)+", "+t.Trigger)
		if t.State == training.Running && s.Progress != nil {
			g.Wanted = fmt.Sprintf("%s, %d of %d", s.Progress.Phase, s.Progress.Step, s.Progress.Steps)
		}
	}
	return g
}

func (s Snapshot) registry() Stage {
	g := Stage{Name: "Registry", State: "waiting", Last: "no version yet"}
	if n := len(s.Models); n > 0 {
		v := s.Models[n-1]
		g.When, g.Last = v.Created, fmt.Sprintf("version %d, not judged yet", v.Version)
		if v.Gate != nil {
			g.State, g.Last = "passed", fmt.Sprintf("version %d passed the gate", v.Version)
			if !v.Gate.Passed {
				g.State, g.Last = "refused", fmt.Sprintf("version %d was refused by the gate", v.Version)
			}
		}
	}
	return g
}

func (s Snapshot) rollout() Stage {
	g := Stage{Name: "Rollout", State: "waiting", Last: "none yet"}
	if n := len(s.Rollouts); n > 0 {
		r := s.Rollouts[n-1]
		g.State, g.When, g.Last = string(r.State), r.Started, cmp.Or(r.Failure, r.Revision)
		if r.Ended != nil {
			g.When = *r.Ended
		}
	}
	return g
}

func (s Snapshot) drift() Stage {
	g := Stage{Name: "Drift", State: "waiting", Last: "not checked yet"}
	if s.Drift != nil {
		g.State, g.When, g.Last = string(s.Drift.Verdict.Outcome), s.Drift.Created, s.Drift.Verdict.Reason
	}
	return g
}

// short is the beginning of an ID, which tells it from others.
func short(id string) string { return id[:min(len(id), 12)] }
