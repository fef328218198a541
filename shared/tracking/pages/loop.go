package pages

import (
	"cmp"
	"net/http"
	"slices"
	"time"

	"github.com/litterloop/litterloop/shared/status"
	"github.com/litterloop/litterloop/shared/training"
)

// loopBody is where the loop stands.
type loopBody struct {
	status.Snapshot
	Stages []stage
}

func (loopBody) title() string { return "The loop" }

// stage is a step of the loop: what it did last, and what waits for it.
type stage struct {
	Name    string
	State   string // a word, as a status
	Last    string
	When    time.Time
	Waiting string
}

func (p *Pages) loop(r *http.Request) (string, any, error) {
	s, err := p.o.Loop(r.Context())
	if err != nil {
		return "", nil, err
	}
	b := loopBody{Snapshot: s, Stages: stages(s)}
	slices.Reverse(b.Batches)
	slices.Reverse(b.Trainings)
	slices.Reverse(b.Ledger)
	b.Ledger = b.Ledger[:min(len(b.Ledger), mostDecisions)]
	return "loop.html", b, nil
}

// mostDecisions are listed.
const mostDecisions = 20

// stages says of each step of the loop what it did last.
func stages(s status.Snapshot) []stage {
	data := stage{Name: "Data", State: "waiting", Last: "nothing was dropped yet"}
	for _, b := range s.Batches {
		data.State, data.Last = string(b.State), "batch "+b.Batch
	}
	if n := len(s.Versions); n > 0 {
		data.When = s.Versions[n-1].Created
	}
	valid := stage{Name: "Validation", State: "waiting", Last: "no version passed yet"}
	if s.Current != "" {
		valid.State, valid.Last = "passed", "version "+s.Current[:min(len(s.Current), 12)]
	}
	if n := len(s.Refused); n > 0 {
		valid.State, valid.Waiting = "refused", "a newer version did not pass: `litterloop data approve`, or drop better labels"
	}
	train := stage{Name: "Training", State: "waiting", Last: "none yet"}
	if n := len(s.Trainings); n > 0 {
		t := s.Trainings[n-1]
		train.State, train.When = string(t.State), t.Started
		train.Last = cmp.Or(t.Failure, "run "+t.Run[:min(len(t.Run), 12)]+", "+t.Trigger)
		if t.State == training.Running && s.Progress != nil {
			train.Waiting = string(s.Progress.Phase) + " " + figure(float64(s.Progress.Step)) + " of " + figure(float64(s.Progress.Steps))
		}
	}
	model := stage{Name: "Registry", State: "waiting", Last: "no version yet"}
	if n := len(s.Models); n > 0 {
		v := s.Models[n-1]
		model.State, model.When, model.Last = "waiting", v.Created, "version "+figure(float64(v.Version))+", not judged yet"
		if v.Gate != nil {
			model.State, model.Last = "passed", "version "+figure(float64(v.Version))+" passed the gate"
			if !v.Gate.Passed {
				model.State, model.Last = "refused", "version "+figure(float64(v.Version))+" was refused by the gate"
			}
		}
	}
	deploy := stage{Name: "Rollout", State: "waiting", Last: "none yet"}
	if n := len(s.Rollouts); n > 0 {
		o := s.Rollouts[n-1]
		deploy.State, deploy.When, deploy.Last = string(o.State), o.Started, cmp.Or(o.Failure, o.Revision)
	}
	drift := stage{Name: "Drift", State: "waiting", Last: "not checked yet"}
	if s.Drift != nil {
		drift.State, drift.When, drift.Last = string(s.Drift.Verdict.Outcome), s.Drift.Created, s.Drift.Verdict.Reason
	}
	return []stage{data, valid, train, model, deploy, drift}
}
