package detector

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math"

	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/modelpackage"
)

// GoldenDiffers is the reason of a model that does not answer its own golden
// photos: a broken export, or one that this program reads differently from its
// trainer.
const GoldenDiffers errs.Code = "golden-differs"

// Tolerances of a golden photo: pixels of a box's edge, and confidence.
const (
	GoldenPixels     = 0.5
	GoldenConfidence = 0.001
)

// CheckGolden detects on every golden photo, read by open, and compares with
// what the trainer found. The error names each photo that differs; it is
// permanent, except where open or the context failed.
func (d *Detector) CheckGolden(ctx context.Context, g modelpackage.Golden, open func(file string) ([]byte, error)) error {
	var faults []error
	for _, p := range g.Photos {
		photo, err := open(p.File)
		if err != nil {
			return fmt.Errorf("golden photo %s: %w", p.File, err)
		}
		if sum := sha256.Sum256(photo); p.SHA256 != "" && hex.EncodeToString(sum[:]) != p.SHA256 {
			faults = append(faults, fmt.Errorf("golden photo %s is not the one the trainer saw: its SHA-256 differs", p.File))
			continue
		}
		r, err := d.Detect(ctx, photo, Query{Conf: g.Conf, IoU: g.IoU, MaxDet: g.MaxDet})
		if err == nil {
			err = SameDetections(r.Detections, p.Detections, g.Conf)
		} else if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("golden photo %s: %w", p.File, err))
		}
	}
	if len(faults) > 0 {
		return errs.Permanent(GoldenDiffers, errors.Join(faults...))
	}
	return nil
}

// SameDetections reports how got differs from want beyond GoldenPixels and
// GoldenConfidence; nil when it does not. Order matters not, and neither does a
// box within the tolerance of the threshold conf, which rounding may tip.
func SameDetections(got, want []modelpackage.Detection, conf float64) error {
	used := make([]bool, len(got))
	for _, w := range want {
		k, near := -1, math.Inf(1)
		for i, g := range got {
			if used[i] || g.ClassID != w.ClassID || math.Abs(g.Confidence-w.Confidence) > GoldenConfidence {
				continue
			}
			if off := distance(g.Box, w.Box); off <= GoldenPixels && off < near {
				k, near = i, off
			}
		}
		if k >= 0 {
			used[k] = true
		} else if w.Confidence > conf+GoldenConfidence {
			return fmt.Errorf("the trainer's %s of confidence %.4f at %.1f is not found again (%d boxes found, %d expected)", w.Class, w.Confidence, w.Box, len(got), len(want))
		}
	}
	for i, g := range got {
		if !used[i] && g.Confidence > conf+GoldenConfidence {
			return fmt.Errorf("a %s of confidence %.4f at %.1f, which the trainer did not find (%d boxes found, %d expected)", g.Class, g.Confidence, g.Box, len(got), len(want))
		}
	}
	return nil
}

// distance is the largest difference of an edge.
func distance(a, b [4]float64) (d float64) {
	for i := range a {
		d = max(d, math.Abs(a[i]-b[i]))
	}
	return d
}
