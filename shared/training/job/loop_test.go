package job_test

import (
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/registry"
	"github.com/litterloop/litterloop/shared/tracking"
	"github.com/litterloop/litterloop/shared/training"
)

// twoTrainings is the scenario of most tests: a first model, then a better one
// on a second version.
func twoTrainings(w *world) {
	w.trainer.quality = map[string]fakeModel{"d1": {Quality: 0.5}, "d2": {Quality: 0.7}}
	w.version("d1", 1)
	w.ask("d1", "validated")
	w.run()
	w.version("d2", 2)
	w.ask("d2", "drift")
	w.run()
}

func TestLoop_twoTrainings(t *testing.T) {
	w := newWorld(t)
	twoTrainings(w)
	want := `version 1 of run 98fe on d1 from "" gate true against 0
version 2 of run 4abd on d2 from "98fe" gate true against 1
aliases map[candidate:2 staging:2] after 4 moves
training 98fe on d1 registered "" version 1, run FINISHED with loss at [20 40 60]
training 4abd on d2 registered "" version 2, run FINISHED with loss at [20 40 60]
deployed [1 2]
alerts []
`
	if diff := cmp.Diff(want, w.summary()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(w.executions) != 2 || w.trainer.begun != 2 || w.reconsidered != 2 {
		t.Errorf("%d executions, %d trainings begun, %d reconsidered; want 2 each", len(w.executions), w.trainer.begun, w.reconsidered)
	}
}

// Every operation of every process is once the last before it dies, and once
// the last that had an effect though the process never knew.
func TestLoop_killedAtEveryOperation(t *testing.T) {
	calm := newWorld(t)
	twoTrainings(calm)
	want, operations := calm.summary(), calm.faults.operations
	if operations < 100 {
		t.Fatalf("only %d operations to die at", operations)
	}
	for k := 1; k <= operations; k++ {
		for _, when := range []string{"before", "after"} {
			w := newWorld(t)
			at := func(n int) bool { return n == k }
			if when == "before" {
				w.faults.before = at
			} else {
				w.faults.after = at
			}
			twoTrainings(w)
			if diff := cmp.Diff(want, w.summary()); diff != "" {
				t.Fatalf("killed %s operation %d of %d (-want +got):\n%s", when, k, operations, diff)
			}
		}
	}
}

// Duplicates, any order, and a process dying at one operation in fifty.
func TestLoop_duplicatesReorderedAndFaults(t *testing.T) {
	calm := newWorld(t)
	twoTrainings(calm)
	want := calm.summary()
	for seed := range uint64(60) {
		w := newWorld(t)
		w.order = rand.New(rand.NewPCG(seed, 1))
		dies := func(int) bool { return w.order.IntN(100) == 0 }
		w.faults.before, w.faults.after = dies, dies
		w.trainer.quality = map[string]fakeModel{"d1": {Quality: 0.5}, "d2": {Quality: 0.7}}
		w.version("d1", 1)
		for range 3 {
			w.ask("d1", "validated")
		}
		w.run()
		w.version("d2", 2)
		for range 3 {
			w.ask("d2", "drift")
			w.ask("d1", "validated") // delivered again, late
		}
		w.run()
		if got := w.summary(); got != want {
			failed := false
			for _, x := range mustTrainings(t, w) {
				failed = failed || x.State == training.Failed
			}
			if failed {
				continue // so unlucky that every attempt died: the policy's own end
			}
			t.Fatalf("seed %d (-want +got):\n%s", seed, cmp.Diff(want, got))
		}
	}
}

func mustTrainings(t *testing.T, w *world) []training.Training {
	t.Helper()
	all, err := w.book.Trainings(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestLoop_refusedByTheGate(t *testing.T) {
	for name, second := range map[string]fakeModel{
		"worse than the serving model":         {Quality: 0.4},
		"served otherwise than it was trained": {Quality: 0.9, Skew: 3},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.trainer.quality = map[string]fakeModel{"d2": second}
			w.version("d1", 1)
			w.ask("d1", "validated")
			w.run()
			w.version("d2", 2)
			w.ask("d2", "validated")
			w.run()
			want := `version 1 of run 98fe on d1 from "" gate true against 0
version 2 of run b66b on d2 from "98fe" gate false against 1
aliases map[candidate:1 staging:1] after 2 moves
training 98fe on d1 registered "" version 1, run FINISHED with loss at [20 40 60]
training b66b on d2 registered "" version 2, run FINISHED with loss at [20 40 60]
deployed [1]
alerts [gate-refused]
`
			if diff := cmp.Diff(want, w.summary()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestLoop_trainingThatCannotSucceed(t *testing.T) {
	w := newWorld(t)
	w.trainer.refuse = "width must be even"
	w.version("d1", 1)
	w.ask("d1", "validated")
	w.run()
	got := mustTrainings(t, w)
	if len(got) != 1 || got[0].State != training.Failed || got[0].Failure != `train run 98fe`+got[0].Run[4:]+`: width must be even (recipe-invalid)` {
		t.Errorf("trainings %+v", got)
	}
	if len(w.alerts) != 1 || len(w.deployed) != 0 || w.reconsidered != 1 || len(w.executions) != 1 {
		t.Errorf("alerts %v, deployed %v, reconsidered %d, executions %d", w.alerts, w.deployed, w.reconsidered, len(w.executions))
	}
}

func TestLoop_jobThatAlwaysDies(t *testing.T) {
	w := newWorld(t)
	w.trainer.dies = true
	w.version("d1", 1)
	w.ask("d1", "validated")
	w.run()
	got := mustTrainings(t, w)
	if len(got) != 1 || got[0].State != training.Failed || len(w.executions) != training.DefaultPolicy().Attempts {
		t.Errorf("trainings %+v after %d executions", got, len(w.executions))
	}
	if r, err := w.runs.Run(t.Context(), got[0].Run); err != nil || r.Status != tracking.Failed || len(w.alerts) != 1 {
		t.Errorf("run %+v, %v; alerts %v", r, err, w.alerts)
	}
}

// A serving model of another network is no reason to fail.
func TestLoop_startThatDoesNotFit(t *testing.T) {
	w := newWorld(t)
	w.version("d1", 1)
	w.ask("d1", "validated")
	w.run()
	w.trainer.misfit = errs.Permanentf("checkpoint-invalid", "of another network")
	w.version("d2", 2)
	w.ask("d2", "validated")
	w.run()
	got := mustTrainings(t, w)
	if len(got) != 2 || got[1].State != training.Registered {
		t.Fatalf("trainings %+v", got)
	}
	if r, err := w.runs.Run(t.Context(), got[1].Run); err != nil || r.Params["started_from"] != "scratch" {
		t.Errorf("run %+v, %v", r, err)
	}
}

func TestLoop_requestsWhileInFlight(t *testing.T) {
	w := newWorld(t)
	w.version("d1", 1)
	w.ask("d1", "validated")
	w.deliver(w.queue[0])
	w.queue = nil
	w.version("d2", 2)
	w.ask("d2", "validated")
	w.version("d3", 3)
	w.ask("d3", "validated")
	w.run()
	var datasets []string
	for _, x := range mustTrainings(t, w) {
		datasets = append(datasets, x.Dataset)
	}
	if diff := cmp.Diff([]string{"d1", "d3"}, datasets); diff != "" {
		t.Errorf("trained on (-want +got):\n%s", diff)
	}
}

// The serving model changes between the measurement and the gate: the evidence
// is measured again, by a job of its own.
func TestLoop_staleEvidence(t *testing.T) {
	w := newWorld(t)
	w.trainer.quality = map[string]fakeModel{"d1": {Quality: 0.5}, "d2": {Quality: 0.7}}
	w.version("d1", 1)
	w.ask("d1", "validated")
	w.run()
	w.version("d2", 2)
	w.ask("d2", "validated")
	w.deliver(w.queue[0])
	w.queue = nil
	w.execute(w.runnable()) // measured against version 1 …
	if err := w.registry.DeleteAlias(t.Context(), "litter", registry.Staging, "someone", "rolled back by hand"); err != nil {
		t.Fatal(err)
	}
	w.version("d3", 3) // … on d2's held-out photos
	w.run()
	v, err := w.registry.Get(t.Context(), "litter", 2)
	if err != nil || v.Gate == nil || v.Gate.Against != 0 || v.Gate.Dataset != "d3" || !v.Gate.Passed {
		t.Errorf("version %+v, %v", v, err)
	}
	last := w.executions[len(w.executions)-1].spec.Args
	if last[0] != string(training.Evaluate) || len(w.executions) != 3 || w.trainer.begun != 2 {
		t.Errorf("last job %v of %d, %d trainings", last, len(w.executions), w.trainer.begun)
	}
}
