// Package retrain decides when to train: one policy for the two things that can
// ask for it, new labels and drift. Decide is pure, so any decision can be
// explained, and replayed under another policy, from its ledger entry.
package retrain

import (
	"slices"
	"time"
)

// Cause is what an evaluation was asked by.
type Cause string

// The causes of an evaluation.
const (
	Validated  Cause = "validated"  // a data set version passed validation
	Drifted    Cause = "drift"      // a drift check ended
	Reconsider Cause = "reconsider" // a training ended, or time passed: what was held may be due
)

// Outcome of a decision.
type Outcome string

// The outcomes of a decision.
const (
	Fired Outcome = "fired"
	Held  Outcome = "held"
)

// Reason codes of decisions. A fired decision names what spoke for it, a held
// one everything that spoke against.
const (
	First           = "first-training"    // no training has succeeded or runs
	EnoughLabels    = "enough-new-labels" // the share that the policy asks for
	DriftOpen       = "drift-open"        // drift was found and no training has answered it
	NewLabels       = "new-labels"        // at least one
	NoData          = "no-data"           // no version has passed validation
	NoNewLabels     = "no-new-labels"
	TooFewNewLabels = "too-few-new-labels"
	Unconfirmed     = "drift-unconfirmed" // found, but not yet by as many checks in a row as a young version needs
	TooFewPhotos    = "too-few-photos"    // in the version, below the minimum sample
	TooFewLabels    = "too-few-labels"
	InFlight        = "training-in-flight" // one at a time
	Requested       = "training-requested" // asked for, not begun yet
	Cooldown        = "cooldown"
	BudgetSpent     = "monthly-budget-spent"
	FailedBefore    = "training-failed-on-this-data" // the same would fail again; new labels lift it
)

// Inputs are the facts of a decision.
type Inputs struct {
	Cause   Cause     `json:"cause"`
	Subject string    `json:"subject,omitempty"` // the version or the drift report that asked
	Now     time.Time `json:"now"`

	Dataset  string `json:"dataset,omitempty"` // the version that would be trained on: the newest
	Photos   int    `json:"photos"`            // in its training split
	Labels   int    `json:"labels"`            // in the whole version: boxes, and photos without one
	Baseline string `json:"baseline,omitempty"`
	// BaselineLabels are those of Baseline, the version of the newest training
	// that runs or succeeded; NewLabels those that Dataset has beyond it.
	BaselineLabels int `json:"baseline_labels"`
	NewLabels      int `json:"new_labels"`

	Drift *OpenDrift `json:"drift,omitempty"` // nil when none is open

	// Suspected is how many checks in a row found drift that is not open yet.
	Suspected int `json:"suspected,omitempty"`

	InFlight    string    `json:"in_flight,omitempty"` // run of the training that runs
	Requested   string    `json:"requested,omitempty"` // ledger entry of the training that was asked for and has not begun
	LastStarted time.Time `json:"last_started,omitzero"`
	// StartedThisMonth counts trainings started in Now's calendar month, UTC.
	StartedThisMonth int  `json:"started_this_month"`
	FailedBefore     bool `json:"failed_before"` // the newest training on Dataset failed
}

// OpenDrift is a drift that no successful training has answered.
type OpenDrift struct {
	Report       string    `json:"report"` // drift report id
	Model        string    `json:"model"`
	ModelVersion string    `json:"model_version"`
	Since        time.Time `json:"since"` // when it was found
}

// Decision is what the policy makes of the inputs.
type Decision struct {
	Outcome Outcome  `json:"outcome"`
	Trigger string   `json:"trigger"` // what the training would answer: "validated" or "drift"
	Reasons []string `json:"reasons"`
	// AskForLabels: drift is open, there is nothing new to learn from, and no
	// training is under way that might answer it.
	AskForLabels bool `json:"ask_for_labels,omitempty"`
	// Ledger is the entry that holds the decision; empty from Decide itself.
	Ledger string `json:"-"`
}

// Triggers of a training.
const (
	TriggerValidated = "validated"
	TriggerDrift     = "drift"
)

// Decide applies a policy to facts. It is pure.
func Decide(p Policy, in Inputs) Decision {
	var against []string
	hold := func(condition bool, reason string) {
		if condition {
			against = append(against, reason)
		}
	}
	d := Decision{Trigger: TriggerValidated}
	if in.Drift != nil {
		d.Trigger = TriggerDrift
	}
	if in.Dataset == "" {
		d.Outcome, d.Reasons = Held, []string{NoData}
		d.AskForLabels = in.Drift != nil
		return d
	}
	var speaks []string
	switch share := float64(in.NewLabels) / float64(max(in.BaselineLabels, 1)); {
	case in.Baseline == "":
		speaks = []string{First}
	case in.NewLabels == 0:
		hold(true, NoNewLabels)
		d.AskForLabels = in.Drift != nil && in.InFlight == "" && in.Requested == ""
	case share >= p.NewLabels:
		speaks = []string{EnoughLabels}
	case in.Drift != nil:
		speaks = []string{NewLabels}
	default:
		hold(true, TooFewNewLabels)
	}
	if in.Drift != nil {
		speaks = append(speaks, DriftOpen)
	}
	hold(in.Suspected > 0 && len(speaks) == 0, Unconfirmed)
	hold(in.Photos < p.MinPhotos, TooFewPhotos)
	hold(in.Labels < p.MinLabels, TooFewLabels)
	hold(in.InFlight != "", InFlight)
	hold(in.Requested != "", Requested)
	hold(!in.LastStarted.IsZero() && in.Now.Sub(in.LastStarted) < p.Cooldown, Cooldown)
	hold(in.StartedThisMonth >= p.MonthlyBudget, BudgetSpent)
	hold(in.FailedBefore, FailedBefore)
	if len(against) > 0 {
		d.Outcome, d.Reasons = Held, against
		return d
	}
	d.Outcome, d.Reasons = Fired, slices.Clip(speaks)
	return d
}
