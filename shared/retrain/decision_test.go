package retrain

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var now = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

func TestDecide(t *testing.T) {
	drifted := &OpenDrift{Report: "r1", Model: "litter", ModelVersion: "1", Since: now.Add(-time.Hour)}
	// base is a version with a fifth more labels than the one trained on last.
	base := Inputs{
		Cause: Validated, Subject: "d2", Now: now, Dataset: "d2", Photos: 200, Labels: 600,
		Baseline: "d1", BaselineLabels: 500, NewLabels: 100,
		LastStarted: now.Add(-48 * time.Hour), StartedThisMonth: 1,
	}
	fired := func(trigger string, reasons ...string) Decision {
		return Decision{Outcome: Fired, Trigger: trigger, Reasons: reasons}
	}
	held := func(trigger string, reasons ...string) Decision {
		return Decision{Outcome: Held, Trigger: trigger, Reasons: reasons}
	}
	asks := func(d Decision) Decision { d.AskForLabels = true; return d }
	for _, c := range []struct {
		name   string
		change func(*Inputs)
		want   Decision
	}{
		{"a fifth more labels", func(in *Inputs) {}, fired("validated", EnoughLabels)},
		{"one label less than a fifth", func(in *Inputs) { in.NewLabels = 99 }, held("validated", TooFewNewLabels)},
		{"the first version", func(in *Inputs) { in.Baseline, in.BaselineLabels, in.NewLabels = "", 0, 600 }, fired("validated", First)},
		{"nothing new", func(in *Inputs) { in.NewLabels = 0 }, held("validated", NoNewLabels)},
		{"drift and one new label", func(in *Inputs) { in.Drift, in.NewLabels = drifted, 1 }, fired("drift", NewLabels, DriftOpen)},
		{"drift and many new labels", func(in *Inputs) { in.Drift = drifted }, fired("drift", EnoughLabels, DriftOpen)},
		{"drift and nothing new", func(in *Inputs) { in.Drift, in.NewLabels = drifted, 0 }, asks(held("drift", NoNewLabels))},
		{"drift and its training runs", func(in *Inputs) { in.Drift, in.NewLabels, in.InFlight = drifted, 0, "run1" }, held("drift", NoNewLabels, InFlight)},
		{"drift before any version", func(in *Inputs) { *in = Inputs{Cause: Drifted, Now: now, Drift: drifted} }, asks(held("drift", NoData))},
		{"no version", func(in *Inputs) { *in = Inputs{Cause: Reconsider, Now: now} }, held("validated", NoData)},
		{"a training runs", func(in *Inputs) { in.InFlight = "run1" }, held("validated", InFlight)},
		{"a training was asked for", func(in *Inputs) { in.Requested = "entry1" }, held("validated", Requested)},
		{"within the cooldown", func(in *Inputs) { in.LastStarted = now.Add(-time.Hour + time.Second) }, held("validated", Cooldown)},
		{"the cooldown is over", func(in *Inputs) { in.LastStarted = now.Add(-time.Hour) }, fired("validated", EnoughLabels)},
		{"the budget is spent", func(in *Inputs) { in.StartedThisMonth = 20 }, held("validated", BudgetSpent)},
		{"drift does not lift the budget", func(in *Inputs) { in.StartedThisMonth, in.Drift = 20, drifted }, held("drift", BudgetSpent)},
		{"too small a sample", func(in *Inputs) { in.Photos, in.Labels = 19, 19 }, held("validated", TooFewPhotos, TooFewLabels)},
		{"the same data failed", func(in *Inputs) { in.FailedBefore = true }, held("validated", FailedBefore)},
		{"all that speaks against", func(in *Inputs) { in.InFlight, in.NewLabels, in.StartedThisMonth = "run1", 1, 99 }, held("validated", TooFewNewLabels, InFlight, BudgetSpent)},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := base
			c.change(&in)
			if diff := cmp.Diff(c.want, Decide(DefaultPolicy(), in)); diff != "" {
				t.Errorf("decision (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDecide_replayUnderAnotherPolicy(t *testing.T) {
	e := newEntry(DefaultPolicy(), Inputs{Cause: Validated, Now: now, Dataset: "d2", Photos: 100, Labels: 110, Baseline: "d1", BaselineLabels: 100, NewLabels: 10}, Decision{})
	if got := Decide(e.Policy, e.Inputs); got.Outcome != Held {
		t.Errorf("as decided: %v, want held", got)
	}
	eager := e.Policy
	eager.NewLabels = 0.05
	if got := Decide(eager, e.Inputs); got.Outcome != Fired {
		t.Errorf("under an eager policy: %v, want fired", got)
	}
}

func TestPolicy_validateReportsEveryFault(t *testing.T) {
	if err := DefaultPolicy().Validate(); err != nil {
		t.Error("default policy: ", err)
	}
	p := Policy{NewLabels: -1, Cooldown: -1, AskAgain: -1}
	got := p.Validate()
	for _, want := range []string{"new_labels", "min_photos", "min_labels", "cooldown", "monthly_budget", "first_checks", "request_timeout", "ask_again"} {
		if got == nil || !contains(got.Error(), want) {
			t.Errorf("no fault of %s in: %v", want, got)
		}
	}
}
