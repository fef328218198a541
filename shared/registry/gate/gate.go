// Package gate decides whether a trained model may be rolled out, from evidence
// that the training job measured with the real detector.
package gate

import (
	"errors"
	"fmt"
	"time"

	"github.com/litterloop/litterloop/shared/modelpackage"
)

// EvaluationFile is the evidence, an object beside a package's directory.
const EvaluationFile = "evaluation.json"

// Evaluation is what the real detector answered: the candidate and the model
// then serving, both on the held-out photos of the same data set version.
type Evaluation struct {
	Schema    int                   `json:"schema"`
	Run       string                `json:"run"`
	Dataset   string                `json:"dataset"`           // whose held-out photos
	Candidate modelpackage.Metrics  `json:"candidate"`         // of Run
	Against   int                   `json:"against,omitempty"` // version then serving; 0: none
	Serving   *modelpackage.Metrics `json:"serving,omitempty"` // of Against
	Golden    Golden                `json:"golden"`
	Measured  time.Time             `json:"measured"`
}

// Golden compares the detector's answers on the package's golden photos with
// the trainer's own.
type Golden struct {
	Photos      int      `json:"photos"`
	Detections  int      `json:"detections"`
	MaxPixels   float64  `json:"max_pixels"`            // largest difference of a box edge
	MaxScore    float64  `json:"max_score"`             // largest difference of a confidence
	Differences []string `json:"differences,omitempty"` // photos that differ, and how
}

// Reason codes of a refusal; a verdict names all that apply.
const (
	ReasonWorse   = "worse-than-serving" // the serving model scores higher on the same photos
	ReasonGolden  = "golden-differs"     // the detector answers otherwise than the trainer
	ReasonMinimum = "below-minimum"      // under the least score that the policy asks for
)

// Metrics a policy can compare by.
const (
	MAP50    = "mAP50"
	MAP50_95 = "mAP50-95"
)

// Policy is what people may tune.
type Policy struct {
	// Metric compared: mAP50-95 (COCO's primary measure) or mAP50.
	Metric string `json:"metric" yaml:"metric"`
	// Tolerance is by how much the candidate may score below the serving model,
	// in points of the metric (0.01 = one per cent of its range).
	Tolerance float64 `json:"tolerance" yaml:"tolerance"`
	// Minimum is the least score of a candidate, the first one included.
	Minimum float64 `json:"minimum" yaml:"minimum"`
	// GoldenPixels and GoldenScore bound how far the detector's answers on the
	// golden photos may lie from the trainer's.
	GoldenPixels float64 `json:"golden_pixels" yaml:"golden_pixels"`
	GoldenScore  float64 `json:"golden_score" yaml:"golden_score"`
}

// DefaultPolicy lets through whatever is not worse and is served as trained.
func DefaultPolicy() Policy {
	return Policy{Metric: MAP50_95, GoldenPixels: 0.5, GoldenScore: 0.001}
}

// Validate reports every fault of the policy.
func (p Policy) Validate() error {
	var faults []error
	if p.Metric != MAP50 && p.Metric != MAP50_95 {
		faults = append(faults, fmt.Errorf("gate.metric %q: use %s or %s", p.Metric, MAP50_95, MAP50))
	}
	for _, f := range []struct {
		name  string
		value float64
		max   float64
	}{
		{"tolerance", p.Tolerance, 1},
		{"minimum", p.Minimum, 1},
		{"golden_pixels", p.GoldenPixels, 10},
		{"golden_score", p.GoldenScore, 1},
	} {
		if !(f.value >= 0 && f.value <= f.max) {
			faults = append(faults, fmt.Errorf("gate.%s %v: use a number from 0 to %v", f.name, f.value, f.max))
		}
	}
	return errors.Join(faults...)
}

func (p Policy) score(m modelpackage.Metrics) float64 {
	if p.Metric == MAP50 {
		return m.MAP50
	}
	return m.MAP50_95
}

// Verdict is the decision and the figures behind it.
type Verdict struct {
	Passed     bool      `json:"passed"`
	Reasons    []Reason  `json:"reasons,omitempty"` // why not
	Dataset    string    `json:"dataset"`
	Against    int       `json:"against,omitempty"`
	Candidate  float64   `json:"candidate"` // score by Policy.Metric
	Serving    float64   `json:"serving,omitempty"`
	Policy     Policy    `json:"policy"`
	Evaluation string    `json:"evaluation"` // object name of the evidence
	Decided    time.Time `json:"decided"`
}

// Reason is one cause of a refusal, for programs and for people.
type Reason struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// Decide judges the evidence. A candidate passes when the detector serves it as
// trained, it reaches the minimum, and it is not worse than the serving model
// by more than the tolerance. Decided and Evaluation are left to the caller.
func (p Policy) Decide(e Evaluation) Verdict {
	v := Verdict{Dataset: e.Dataset, Against: e.Against, Candidate: p.score(e.Candidate), Policy: p}
	refuse := func(code, format string, args ...any) {
		v.Reasons = append(v.Reasons, Reason{code, fmt.Sprintf(format, args...)})
	}
	if g := e.Golden; g.Photos == 0 {
		refuse(ReasonGolden, "no golden photo was compared")
	} else if len(g.Differences) > 0 || g.MaxPixels > p.GoldenPixels || g.MaxScore > p.GoldenScore {
		refuse(ReasonGolden, "the detector's answers on the golden photos differ from the trainer's by up to %.3f px and %.5f (allowed %v px and %v); %d photos differ otherwise: %v",
			g.MaxPixels, g.MaxScore, p.GoldenPixels, p.GoldenScore, len(g.Differences), g.Differences)
	}
	if v.Candidate < p.Minimum {
		refuse(ReasonMinimum, "%s %.4f is under the minimum %.4f", p.Metric, v.Candidate, p.Minimum)
	}
	if e.Serving != nil {
		v.Serving = p.score(*e.Serving)
		if v.Candidate < v.Serving-p.Tolerance {
			refuse(ReasonWorse, "%s %.4f on the %d held-out photos of data set %s; version %d, which serves, has %.4f (tolerance %.4f)",
				p.Metric, v.Candidate, e.Candidate.Photos, e.Dataset, e.Against, v.Serving, p.Tolerance)
		}
	}
	v.Passed = len(v.Reasons) == 0
	return v
}
