package demo

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/litterloop/litterloop/cmd/litterloop/client"
	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/dataset"
	"github.com/litterloop/litterloop/shared/registry"
	"github.com/litterloop/litterloop/shared/registry/gate"
	"github.com/litterloop/litterloop/shared/training/evaluation"
	"github.com/litterloop/litterloop/shared/training/job/engine"
)

// Ending is how the story may end: in both the loop did its work.
type Ending string

// Endings.
const (
	Replaced Ending = "replaced" // the second model passed its gate and serves
	Kept     Ending = "kept"     // it did not, and the first serves on
)

// Verdict is what the gate said of the second model, and how much that means.
type Verdict struct {
	Version   int           `json:"version"`
	Passed    bool          `json:"passed"`
	Against   int           `json:"against"`
	Metric    string        `json:"metric"`
	Candidate float64       `json:"candidate"`
	Serving   float64       `json:"serving"`
	Tolerance float64       `json:"tolerance"`
	Photos    int           `json:"photos"` // held out, of Dataset
	Dataset   string        `json:"dataset"`
	Reasons   []gate.Reason `json:"reasons,omitempty"`
	// Difference is where candidate less serving lies in 90 of 100 samples of as
	// many photos, in points of mAP50-95.
	Difference evaluation.Interval `json:"difference_mAP50_95"`
	Says       string              `json:"says"` // the verdict in a sentence or two
}

// honest tells whether a refusal is the loop's own good sense: the model is served
// as it was trained, and is only not good enough.
func honest(v gate.Verdict) bool {
	return !slices.ContainsFunc(v.Reasons, func(r gate.Reason) bool {
		return r.Code != gate.ReasonWorse && r.Code != gate.ReasonMinimum
	})
}

// verdict reads what the gate said of the last model, and asks both models about
// the held-out photos again to learn how sure that is.
func (s *story) verdict(ctx context.Context, snap client.Snapshot) (Verdict, error) {
	last := snap.Models[len(snap.Models)-1]
	g := last.Gate
	v := Verdict{
		Version: last.Version, Passed: g.Passed, Against: g.Against, Metric: g.Policy.Metric, Candidate: g.Candidate, Serving: g.Serving,
		Tolerance: g.Policy.Tolerance, Dataset: g.Dataset, Reasons: g.Reasons,
	}
	var e gate.Evaluation
	if _, err := blob.ReadJSON(ctx, s.loop.Bucket(s.loop.Models), g.Evaluation, &e); err != nil {
		return v, fmt.Errorf("the gate's evidence: %w", err)
	}
	v.Photos = e.Candidate.Photos
	i := slices.IndexFunc(snap.Models, func(m registry.Version) bool { return m.Version == g.Against })
	if i < 0 {
		return v, fmt.Errorf("version %d, which the gate compared version %d with, is gone", g.Against, last.Version)
	}
	stage := s.board.Stage("how sure is the gate?")
	var err error
	if v.Difference, err = s.difference(ctx, g.Dataset, snap.Models[i].Package, last.Package, stage.Set); err != nil {
		stage.Fail(err)
		return v, err
	}
	v.Says = v.say()
	stage.Done("%s", v.Says)
	return v, nil
}

func (s *story) difference(ctx context.Context, id, before, after string, show show) (d evaluation.Interval, err error) {
	bucket := s.loop.Bucket(s.loop.Datasets)
	version, err := dataset.Load(ctx, bucket, id)
	if err != nil {
		return d, err
	}
	photos, err := dataset.Photos(ctx, bucket, id)
	if err != nil {
		return d, err
	}
	var held []Photo
	for _, p := range photos {
		if p.Split != dataset.Val {
			continue
		}
		h := Photo{Name: p.Path, Load: func() ([]byte, error) { return dataset.OpenPhoto(ctx, bucket, p) }}
		for _, b := range p.Boxes {
			h.Boxes = append(h.Boxes, Box(b))
		}
		held = append(held, h)
	}
	a, err := s.answers(ctx, before, held, version.Classes, show)
	if err != nil {
		return d, err
	}
	b, err := s.answers(ctx, after, held, version.Classes, show)
	if err != nil {
		return d, err
	}
	return engine.Difference(version.Classes, a, b), nil
}

// say is the verdict as a person would tell it.
func (v Verdict) say() string {
	var text strings.Builder
	if v.Passed {
		fmt.Fprintf(&text, "version %d replaced version %d: %s %.4f against %.4f on %d held-out photos", v.Version, v.Against, v.Metric, v.Candidate, v.Serving, v.Photos)
	} else {
		var why []string
		for _, r := range v.Reasons {
			why = append(why, r.Message)
		}
		fmt.Fprintf(&text, "kept serving version %d, because of version %d: %s", v.Against, v.Version, strings.Join(why, "; "))
	}
	if v.Difference.Low <= 0 && v.Difference.High >= 0 {
		fmt.Fprintf(&text, ". So few photos do not tell the two apart: on others of the kind the difference may be anything from %+.4f to %+.4f", v.Difference.Low, v.Difference.High)
	}
	return text.String()
}
