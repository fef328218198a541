package retrain

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Policy is what people may tune about when to train.
type Policy struct {
	// NewLabels is the share of labels, relative to those of the last training's
	// version, that a version must bring to be trained on at once. Drift lowers
	// it to any.
	NewLabels float64 `yaml:"new_labels" json:"new_labels"`
	// MinPhotos of the training split and MinLabels of the version: fewer are
	// not trained on.
	MinPhotos int `yaml:"min_photos" json:"min_photos"`
	MinLabels int `yaml:"min_labels" json:"min_labels"`
	// Cooldown is the least time between the starts of two trainings.
	Cooldown time.Duration `yaml:"cooldown" json:"cooldown"`
	// MonthlyBudget is how many trainings may start in a calendar month (UTC),
	// whatever became of them.
	MonthlyBudget int `yaml:"monthly_budget" json:"monthly_budget"`
	// FirstChecks is how many checks in a row must find drift before it opens, while
	// the version that serves is too young to be compared with its own past days.
	// Windows that share photos count once.
	FirstChecks int `yaml:"first_checks" json:"first_checks"`
	// RequestTimeout is how long a training that was asked for may take to begin
	// before it is no longer waited for.
	RequestTimeout time.Duration `yaml:"request_timeout" json:"request_timeout"`
	// AskAgain is the least time between two alerts that ask for labels.
	AskAgain time.Duration `yaml:"ask_again" json:"ask_again"`
}

// DefaultPolicy is the policy of a small team with a budget.
func DefaultPolicy() Policy {
	return Policy{
		NewLabels: 0.2, MinPhotos: 20, MinLabels: 20,
		Cooldown: time.Hour, MonthlyBudget: 20, FirstChecks: 3,
		RequestTimeout: time.Hour, AskAgain: 7 * 24 * time.Hour,
	}
}

// Hash identifies the policy in ledger entries.
func (p Policy) Hash() string {
	b, err := json.Marshal(p)
	if err != nil {
		panic(err) // plain data: only a NaN gets here, and Validate refuses it
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}

// Validate reports every fault of the policy at once.
func (p Policy) Validate() error {
	var faults []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	check(p.NewLabels > 0 && p.NewLabels <= 10, "new_labels: %v is not in (0, 10]; 0.2 means a fifth more", p.NewLabels)
	check(p.MinPhotos >= 1, "min_photos: %d is less than 1", p.MinPhotos)
	check(p.MinLabels >= 1, "min_labels: %d is less than 1", p.MinLabels)
	check(p.Cooldown >= 0, "cooldown: %v is negative", p.Cooldown)
	check(p.MonthlyBudget >= 1, "monthly_budget: %d lets nothing train", p.MonthlyBudget)
	check(p.FirstChecks >= 1 && p.FirstChecks <= 14, "first_checks: %d is not in 1 to 14", p.FirstChecks)
	check(p.RequestTimeout > 0, "request_timeout: %v is not positive", p.RequestTimeout)
	check(p.AskAgain >= 0, "ask_again: %v is negative", p.AskAgain)
	return errors.Join(faults...)
}
