package detector

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/litterloop/litterloop/shared/imaging"
	"github.com/litterloop/litterloop/shared/modelpackage"
)

// Query says which detections to return. A zero field means its default.
type Query struct {
	Conf        float64 // detections must be above it; 0.25
	IoU         float64 // of two overlapping more than it the better stays; 0.7
	MaxDet      int     // at most so many, the best; 300
	Classes     []int   // only these class ids; all when empty
	AgnosticNMS bool    // let boxes of different classes suppress each other
}

// Validate reports every fault of a query; classes is the model's number.
func (q Query) Validate(classes int) error {
	var faults []error
	if !(q.Conf >= 0 && q.Conf <= 1) {
		faults = append(faults, fmt.Errorf("conf is %v, not from 0 to 1", q.Conf))
	}
	if !(q.IoU >= 0 && q.IoU <= 1) {
		faults = append(faults, fmt.Errorf("iou is %v, not from 0 to 1", q.IoU))
	}
	if q.MaxDet < 0 || q.MaxDet > maxCandidates {
		faults = append(faults, fmt.Errorf("max_det is %d, not from 1 to %d", q.MaxDet, maxCandidates))
	}
	for _, c := range q.Classes {
		if c < 0 || c >= classes {
			faults = append(faults, fmt.Errorf("class %d does not exist: the model knows 0 to %d", c, classes-1))
		}
	}
	return errors.Join(faults...)
}

func (q Query) withDefaults() Query {
	if q.Conf == 0 {
		q.Conf = 0.25
	}
	if q.IoU == 0 {
		q.IoU = 0.7
	}
	if q.MaxDet == 0 {
		q.MaxDet = 300
	}
	return q
}

func (q Query) keeps() func(class int) bool {
	if len(q.Classes) == 0 {
		return func(int) bool { return true }
	}
	return func(class int) bool { return slices.Contains(q.Classes, class) }
}

// Result is the answer for one photo.
type Result struct {
	Width, Height int // displayed photo
	Detections    []modelpackage.Detection
	Stats         imaging.Stats
	Timings       Timings
}

// Timings tell where a request's time went.
type Timings struct {
	Wait        time.Duration // for a free worker
	Decode      time.Duration // and scaling into the input, which go on together row by row
	Preprocess  time.Duration // measuring the photo's look
	Inference   time.Duration
	Postprocess time.Duration
}
