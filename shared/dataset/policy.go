package dataset

import (
	"errors"
	"fmt"
)

// Policy is what people may tune about how batches become versions.
type Policy struct {
	// ValShare is the share of each batch's photos that is held out, in [0, 1).
	ValShare float64 `json:"val_share" yaml:"val_share"`
	// Seed of the splits. Changing it moves no photo that a version has.
	Seed int64 `json:"seed" yaml:"seed"`
	// MaxImages and MaxAnnotations bound one batch's labels.
	MaxImages      int `json:"max_images" yaml:"max_images"`
	MaxAnnotations int `json:"max_annotations" yaml:"max_annotations"`
	// MaxLabelBytes bounds the size of a batch's labels, MaxPhotoBytes that of
	// each photo: larger ones are quarantined unread.
	MaxLabelBytes int64 `json:"max_label_bytes" yaml:"max_label_bytes"`
	MaxPhotoBytes int64 `json:"max_photo_bytes" yaml:"max_photo_bytes"`
	// MaxLost is the share of a batch's photos or boxes that may be quarantined;
	// of a batch that loses more nothing is used, so that it spoils no version
	// for the batches beside it.
	MaxLost float64 `json:"max_lost" yaml:"max_lost"`
	// MaxUnpackedBytes bounds what an archive unpacks to, MaxUnpackRatio how many
	// times its own size that may be.
	MaxUnpackedBytes int64   `json:"max_unpacked_bytes" yaml:"max_unpacked_bytes"`
	MaxUnpackRatio   float64 `json:"max_unpack_ratio" yaml:"max_unpack_ratio"`
	// Classes merges, drops and pins classes of every batch that has no
	// classes.yaml of its own.
	Classes ClassMap `json:"classes,omitzero" yaml:"classes"`
}

// DefaultPolicy holds out a fifth, and takes labels that a function of 1 GB can
// hold.
func DefaultPolicy() Policy {
	return Policy{ValShare: 0.2, MaxImages: 1_000_000, MaxAnnotations: 4_000_000, MaxLabelBytes: 2 << 30, MaxPhotoBytes: 100 << 20, MaxLost: 0.2, MaxUnpackedBytes: 1 << 40, MaxUnpackRatio: 200}
}

// Validate reports every fault of the policy.
func (p Policy) Validate() error {
	var faults []error
	if !(p.ValShare >= 0 && p.ValShare < 1) {
		faults = append(faults, fmt.Errorf("val_share is %v: it must be at least 0 and below 1", p.ValShare))
	}
	if p.MaxImages < 1 {
		faults = append(faults, fmt.Errorf("max_images is %d: it must be at least 1", p.MaxImages))
	}
	if p.MaxAnnotations < 1 {
		faults = append(faults, fmt.Errorf("max_annotations is %d: it must be at least 1", p.MaxAnnotations))
	}
	if p.MaxLabelBytes < 1 {
		faults = append(faults, fmt.Errorf("max_label_bytes is %d: it must be at least 1", p.MaxLabelBytes))
	}
	if p.MaxPhotoBytes < 1 {
		faults = append(faults, fmt.Errorf("max_photo_bytes is %d: it must be at least 1", p.MaxPhotoBytes))
	}
	if !(p.MaxLost >= 0 && p.MaxLost <= 1) {
		faults = append(faults, fmt.Errorf("max_lost is %v: it must be in 0 to 1", p.MaxLost))
	}
	if p.MaxUnpackedBytes < 1 {
		faults = append(faults, fmt.Errorf("max_unpacked_bytes is %d: it must be at least 1", p.MaxUnpackedBytes))
	}
	if !(p.MaxUnpackRatio >= 1) {
		faults = append(faults, fmt.Errorf("max_unpack_ratio is %v: it must be at least 1", p.MaxUnpackRatio))
	}
	if err := p.Classes.Validate(); err != nil {
		faults = append(faults, fmt.Errorf("classes: %w", err))
	}
	return errors.Join(faults...)
}
