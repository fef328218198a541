package rollout

import (
	"errors"
	"fmt"
	"time"
)

// Policy is what people may tune of a rollout.
type Policy struct {
	// Steps are the percentages of traffic that a new version gets, one after
	// the other; the last is 100.
	Steps []int `yaml:"steps" json:"steps"`
	// Hold is how long each step is watched before its checks and the next
	// step; on Google Cloud three minutes more, until its requests are counted.
	// All of them together must fit in the 600 s that a push may take; a rollout
	// that takes longer goes on when its event comes again.
	Hold Duration `yaml:"hold" json:"hold"`
	// MaxErrorRate is the share of requests, 0 to 1, that the new version may
	// answer with a status of 500 or above during a hold.
	MaxErrorRate float64 `yaml:"max_error_rate" json:"max_error_rate"`
	// LatencyFactor is how many times slower than the serving version the new
	// one may answer the golden photos; 0 does not compare.
	LatencyFactor float64 `yaml:"latency_factor" json:"latency_factor"`
	// KeepRevisions is how many revisions stay, the serving one included, so
	// that going back is quick.
	KeepRevisions int `yaml:"keep_revisions" json:"keep_revisions"`
}

// DefaultPolicy is a canary of one in ten.
func DefaultPolicy() Policy {
	return Policy{Steps: []int{10, 100}, Hold: Duration(5 * time.Second), MaxErrorRate: 0.01, LatencyFactor: 3, KeepRevisions: 3}
}

// maxHolds leaves room for starting a revision and checking it within the
// longest acknowledgement deadline of a push, 600 s.
const maxHolds = 8 * time.Minute

// Validate reports every fault at once.
func (p Policy) Validate() error {
	var faults []error
	last := 0
	for _, s := range p.Steps {
		if s <= last || s > 100 {
			faults = append(faults, fmt.Errorf("rollout.steps: %v must rise from above 0 to 100", p.Steps))
			break
		}
		last = s
	}
	if last != 100 {
		faults = append(faults, fmt.Errorf("rollout.steps: the last of %v must be 100", p.Steps))
	}
	if p.Hold < 0 || time.Duration(p.Hold)*time.Duration(len(p.Steps)) > maxHolds {
		faults = append(faults, fmt.Errorf("rollout.hold: %d steps of %s must take from 0 to %s together", len(p.Steps), time.Duration(p.Hold), maxHolds))
	}
	if !(p.MaxErrorRate >= 0 && p.MaxErrorRate <= 1) {
		faults = append(faults, fmt.Errorf("rollout.max_error_rate: %v is not a share from 0 to 1", p.MaxErrorRate))
	}
	if !(p.LatencyFactor == 0 || p.LatencyFactor >= 1) {
		faults = append(faults, fmt.Errorf("rollout.latency_factor: %v is neither 0 (off) nor at least 1", p.LatencyFactor))
	}
	if p.KeepRevisions < 1 {
		faults = append(faults, fmt.Errorf("rollout.keep_revisions: %d is less than the serving revision itself", p.KeepRevisions))
	}
	return errors.Join(faults...)
}

// Duration is a time.Duration written as "1m30s" in configuration.
type Duration time.Duration

// MarshalText writes "1m30s".
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText reads "1m30s".
func (d *Duration) UnmarshalText(p []byte) error {
	v, err := time.ParseDuration(string(p))
	*d = Duration(v)
	return err
}
