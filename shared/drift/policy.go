package drift

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/litterloop/litterloop/shared/drift/stattest"
)

// Policy is what people may tune about drift.
type Policy struct {
	// Features watched; see FeatureNames. Their order has no meaning.
	Features []string `yaml:"features" json:"features"`
	// CheckInterval is the schedule's cadence. It sets the level of one check:
	// FalseAlarmsPerYear over the checks in a year.
	CheckInterval      time.Duration   `yaml:"check_interval" json:"check_interval"`
	FalseAlarmsPerYear float64         `yaml:"false_alarms_per_year" json:"false_alarms_per_year"`
	Window             WindowPolicy    `yaml:"window" json:"window"`
	Reference          ReferencePolicy `yaml:"reference" json:"reference"`
	// Splits is the number of random splits into a reference and a window that
	// show, while there is no history, what harmless windows reach.
	Splits int    `yaml:"splits" json:"splits"`
	Seed   uint64 `yaml:"seed" json:"seed"`
	// ToLabel is how many photos most worth labelling a report lists.
	ToLabel   int             `yaml:"to_label" json:"to_label"`
	Evidently EvidentlyPolicy `yaml:"evidently" json:"evidently"`
}

// WindowPolicy says what is checked: the log's last Duration, of it the newest
// MaxPhotos. Fewer than MinPhotos are Insufficient.
type WindowPolicy struct {
	Duration  time.Duration `yaml:"duration" json:"duration"`
	MinPhotos int           `yaml:"min_photos" json:"min_photos"`
	MaxPhotos int           `yaml:"max_photos" json:"max_photos"`
}

// ReferencePolicy says what a window is compared with: the serving version's
// own Days of log that end LagDays before the window, once they hold MinWindows
// windows; the model package's reference until then.
type ReferencePolicy struct {
	Days       int `yaml:"days" json:"days"`
	LagDays    int `yaml:"lag_days" json:"lag_days"`
	MinWindows int `yaml:"min_windows" json:"min_windows"`
	MinPhotos  int `yaml:"min_photos" json:"min_photos"` // of the package's reference
}

// EvidentlyPolicy changes Evidently's part of the report; the zero value of
// Numeric and Categorical is Evidently's own choice by sample size.
type EvidentlyPolicy struct {
	DriftShare  float64         `yaml:"drift_share" json:"drift_share"`
	Numeric     stattest.Method `yaml:"numeric,omitempty" json:"numeric,omitempty"`
	Categorical stattest.Method `yaml:"categorical,omitempty" json:"categorical,omitempty"`
}

// DefaultPolicy checks every day the last day's photos.
func DefaultPolicy() Policy {
	return Policy{
		Features:           FeatureNames(),
		CheckInterval:      24 * time.Hour,
		FalseAlarmsPerYear: 1,
		Window:             WindowPolicy{Duration: 24 * time.Hour, MinPhotos: 30, MaxPhotos: 5000},
		Reference:          ReferencePolicy{Days: 56, LagDays: 7, MinWindows: 14, MinPhotos: 20},
		Splits:             4000,
		Seed:               1,
		ToLabel:            100,
		Evidently:          EvidentlyPolicy{DriftShare: 0.5},
	}
}

// Level is the chance of a false alarm that one check may have.
func (p Policy) Level() float64 {
	const year = 365.25 * 24 * float64(time.Hour)
	return p.FalseAlarmsPerYear * float64(p.CheckInterval) / year
}

// Hash identifies the policy in reports.
func (p Policy) Hash() string {
	p.Features = slices.Sorted(slices.Values(p.Features))
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
	check(len(p.Features) > 0, "features: none is watched; name some of %v", FeatureNames())
	seen := map[string]bool{}
	for _, f := range p.Features {
		check(slices.Contains(FeatureNames(), f), "features: %q is unknown; known are %v", f, FeatureNames())
		check(!seen[f], "features: %q stands twice", f)
		seen[f] = true
	}
	check(p.CheckInterval > 0, "check_interval: %v is not positive", p.CheckInterval)
	check(p.FalseAlarmsPerYear > 0, "false_alarms_per_year: %v is not positive", p.FalseAlarmsPerYear)
	check(!(p.Level() > 0.2), "false_alarms_per_year: %v at a check every %v would let one check in %.1f alarm falsely; at most one in 5 makes sense", p.FalseAlarmsPerYear, p.CheckInterval, 1/p.Level())
	check(p.Window.Duration > 0, "window.duration: %v is not positive", p.Window.Duration)
	check(p.Window.MinPhotos >= 10, "window.min_photos: %d; a distribution needs 10 or more", p.Window.MinPhotos)
	check(p.Window.MaxPhotos >= p.Window.MinPhotos, "window.max_photos: %d is less than min_photos %d", p.Window.MaxPhotos, p.Window.MinPhotos)
	check(p.Reference.Days > 0, "reference.days: %d is not positive", p.Reference.Days)
	check(p.Reference.LagDays >= 0, "reference.lag_days: %d is negative", p.Reference.LagDays)
	check(p.Reference.MinWindows >= 8, "reference.min_windows: %d; a spread needs 8 or more", p.Reference.MinWindows)
	check(p.Reference.MinPhotos >= 10, "reference.min_photos: %d; a distribution needs 10 or more", p.Reference.MinPhotos)
	check(p.Splits >= 1000 && p.Splits <= 100_000, "splits: %d is not in 1000 to 100000", p.Splits)
	check(p.ToLabel >= 1 && p.ToLabel <= 1000, "to_label: %d is not in 1 to 1000", p.ToLabel)
	check(p.Evidently.DriftShare > 0 && p.Evidently.DriftShare <= 1, "evidently.drift_share: %v is not in (0, 1]", p.Evidently.DriftShare)
	check(p.Evidently.Numeric == "" || p.Evidently.Numeric.Known(), "evidently.numeric: %q is no test; known are %v", p.Evidently.Numeric, stattest.Methods())
	check(p.Evidently.Categorical == "" || p.Evidently.Categorical.ForCategories(), "evidently.categorical: %q is no test of categories", p.Evidently.Categorical)
	return errors.Join(faults...)
}
