package validation

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/litterloop/litterloop/shared/errs"
)

// Severity is what a finding does.
type Severity string

// The severities. A version with a finding that blocks is never trained on
// unless a person approves it.
const (
	Block  Severity = "block"
	Warn   Severity = "warn"
	Ignore Severity = "ignore" // not even reported
)

// Policy is what people may tune about validation.
type Policy struct {
	// Severities replace the default severity of a code.
	Severities map[errs.Code]Severity `json:"severities,omitempty" yaml:"severities,omitempty"`
	// MinTrain and MinVal photos a version needs in each split.
	MinTrain int `json:"min_train" yaml:"min_train"`
	MinVal   int `json:"min_val" yaml:"min_val"`
	// ImageSize in pixels that the longer side of a photo has in training.
	ImageSize int `json:"image_size" yaml:"image_size"`
	// TinyBox: boxes with a side below this many pixels at ImageSize are tiny.
	TinyBox float64 `json:"tiny_box" yaml:"tiny_box"`
	// MinBoxes a class needs to be learnt at all.
	MinBoxes int `json:"min_boxes" yaml:"min_boxes"`
	// MaxImbalance is the largest ratio of boxes of the commonest class to those
	// of the median class.
	MaxImbalance float64 `json:"max_imbalance" yaml:"max_imbalance"`
	// DuplicateIoU: two boxes of one photo that overlap by more are one object
	// labelled twice.
	DuplicateIoU float64 `json:"duplicate_iou" yaml:"duplicate_iou"`
	// NearDuplicateBits of 64 that perceptual hashes may differ in, 0 to 3.
	NearDuplicateBits int `json:"near_duplicate_bits" yaml:"near_duplicate_bits"`
	// MaxEmpty is the share of photos that may be without boxes.
	MaxEmpty float64 `json:"max_empty" yaml:"max_empty"`
	// Dark and Bright bound mean luma, 0 to 255.
	Dark   float64 `json:"dark" yaml:"dark"`
	Bright float64 `json:"bright" yaml:"bright"`
	// Blurred: the variance of the Laplacian of luma, at 640 pixels, below which
	// a photo is blurred.
	Blurred float64 `json:"blurred" yaml:"blurred"`
	// ContactSheet is the number of photos drawn in the report.
	ContactSheet int `json:"contact_sheet" yaml:"contact_sheet"`
	// ClassSheet is the number of boxes drawn in the report, class by class.
	ClassSheet int `json:"class_sheet" yaml:"class_sheet"`
}

// DefaultPolicy blocks what would spoil a training and warns of the rest.
func DefaultPolicy() Policy {
	return Policy{
		MinTrain: 1, MinVal: 1, ImageSize: 640, TinyBox: 4, MinBoxes: 10, MaxImbalance: 50, DuplicateIoU: 0.95,
		NearDuplicateBits: 2, MaxEmpty: 0.5, Dark: 30, Bright: 235, Blurred: 8, ContactSheet: 24, ClassSheet: 48,
	}
}

// Validate reports every fault of the policy.
func (p Policy) Validate() error {
	var faults []error
	fault := func(bad bool, format string, args ...any) {
		if bad {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	for code, s := range p.Severities {
		known := explained(code)
		fault(!known, "severities: there is no code %q", code)
		fault(!slices.Contains([]Severity{Block, Warn, Ignore}, s), "severities: %s is %q: use block, warn or ignore", code, s)
	}
	fault(p.MinTrain < 0, "min_train is %d: it must not be negative", p.MinTrain)
	fault(p.MinVal < 0, "min_val is %d: it must not be negative", p.MinVal)
	fault(p.ImageSize < 1, "image_size is %d: it must be at least 1", p.ImageSize)
	fault(!(p.TinyBox >= 0), "tiny_box is %v: it must not be negative", p.TinyBox)
	fault(p.MinBoxes < 0, "min_boxes is %d: it must not be negative", p.MinBoxes)
	fault(!(p.MaxImbalance >= 1), "max_imbalance is %v: it must be at least 1", p.MaxImbalance)
	fault(!(p.DuplicateIoU > 0 && p.DuplicateIoU <= 1), "duplicate_iou is %v: it must be above 0 and at most 1", p.DuplicateIoU)
	fault(p.NearDuplicateBits < 0 || p.NearDuplicateBits > 3, "near_duplicate_bits is %d: it must be 0 to 3", p.NearDuplicateBits)
	fault(!(p.MaxEmpty >= 0 && p.MaxEmpty <= 1), "max_empty is %v: it must be in 0 to 1", p.MaxEmpty)
	fault(!(p.Dark <= p.Bright), "dark is %v and bright is %v: dark must not be above bright", p.Dark, p.Bright)
	fault(p.ContactSheet < 0, "contact_sheet is %d: it must not be negative", p.ContactSheet)
	fault(p.ClassSheet < 0, "class_sheet is %d: it must not be negative", p.ClassSheet)
	return errors.Join(faults...)
}

// Hash names the policy by its content, so that a result says what decided it.
func (p Policy) Hash() string {
	data, err := json.Marshal(p)
	if err != nil { // plain data
		panic(err)
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:8])
}
