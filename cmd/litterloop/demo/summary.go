package demo

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/litterloop/litterloop/cmd/litterloop/client"
	"github.com/litterloop/litterloop/cmd/litterloop/progress"
	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/dataset"
	"github.com/litterloop/litterloop/shared/drift"
	"github.com/litterloop/litterloop/shared/modelpackage"
	"github.com/litterloop/litterloop/shared/registry/gate"
)

// Summary is how the story ended.
type Summary struct {
	Closed  bool              `json:"closed"` // every act came to its end, whichever
	Ending  Ending            `json:"ending"`
	Gate    Verdict           `json:"gate"` // on the last model
	Dataset DatasetSummary    `json:"dataset"`
	Models  []ModelSummary    `json:"models"`
	NewKind NewKind           `json:"new_kind"`
	Serving Serving           `json:"serving"`
	Drift   DriftSummary      `json:"drift"`
	Retrain RetrainSummary    `json:"retrain"`
	Stages  []progress.Spent  `json:"stages"`
	Events  Events            `json:"events"`
	Look    map[string]string `json:"look"` // where a person finds what
}

// DatasetSummary is the newest version.
type DatasetSummary struct {
	ID      string   `json:"id"`
	Classes []string `json:"classes"`
	Photos  int      `json:"photos"`
	Boxes   int      `json:"boxes"`
	HeldOut int      `json:"held_out"`
	Parent  string   `json:"parent,omitempty"`
}

// ModelSummary is a registered version. Its figures are on the held-out split of
// the data set it was trained on; OnNewest has those that the newest gate
// compared, all on the same photos.
type ModelSummary struct {
	Version  int      `json:"version"`
	Aliases  []string `json:"aliases"`
	Dataset  string   `json:"dataset"`
	SHA256   string   `json:"sha256"`
	MAP50    float64  `json:"mAP50"`
	MAP5095  float64  `json:"mAP50_95"`
	OnNewest *Figures `json:"on_newest,omitempty"`
}

// Figures are measured on the held-out photos of one data set version.
type Figures struct {
	Dataset string  `json:"dataset"`
	MAP50   float64 `json:"mAP50"`
	MAP5095 float64 `json:"mAP50_95"`
}

// NewKind is what the two models find on photos of the new kind.
type NewKind struct {
	Photos int     `json:"photos"`
	Before float64 `json:"mAP50_before"`
	After  float64 `json:"mAP50_after"`
}

// Serving is the deployed detector as its callers saw it.
type Serving struct {
	Revision string         `json:"revision"`
	Traffic  map[string]int `json:"traffic"` // percent by revision
	Requests int            `json:"requests"`
	Errors   int            `json:"errors"`
	P50      float64        `json:"p50_ms"`
	P99      float64        `json:"p99_ms"`
}

// DriftSummary is the report that led to the retraining.
type DriftSummary struct {
	Verdict   drift.Outcome `json:"verdict"`
	Score     float64       `json:"score"`
	Threshold float64       `json:"threshold"`
	Share     float64       `json:"share"` // of columns, by Evidently's tests
	Columns   []string      `json:"columns"`
}

// RetrainSummary is the decision on the second training.
type RetrainSummary struct {
	Decision  string   `json:"decision"`
	Reasons   []string `json:"reasons"`
	Ledger    string   `json:"ledger"`
	Decisions int      `json:"evaluations"` // in the ledger, held ones included
}

// Events are the messages of the loop's subscriptions.
type Events struct {
	Handled   int `json:"handled"`
	Delivered int `json:"delivered"` // repeats included
	Dead      int `json:"dead"`
}

func (s *story) summary(ctx context.Context) (sum Summary, err error) {
	snap, err := s.loop.Snapshot(ctx)
	if err != nil {
		return sum, err
	}
	i := slices.IndexFunc(snap.Versions, func(v dataset.Version) bool { return v.ID == snap.Current })
	if i < 0 {
		return sum, fmt.Errorf("data set %s is gone", snap.Current)
	}
	v := snap.Versions[i]
	sum.Dataset = DatasetSummary{ID: v.ID, Classes: v.Classes, Photos: v.Counts.Photos, Boxes: v.Counts.Boxes, HeldOut: v.Splits[dataset.Val].Photos, Parent: v.Parent}
	for _, m := range snap.Models {
		p, err := modelpackage.Load(ctx, s.loop.Bucket(s.loop.Models), m.Package)
		if err != nil {
			return sum, err
		}
		ms := ModelSummary{Version: m.Version, Aliases: []string{}, Dataset: m.Dataset, SHA256: m.SHA256, MAP50: p.Card.Metrics.MAP50, MAP5095: p.Card.Metrics.MAP50_95}
		for a, n := range snap.Aliases {
			if n == m.Version {
				ms.Aliases = append(ms.Aliases, a)
			}
		}
		slices.Sort(ms.Aliases)
		sum.Models = append(sum.Models, ms)
	}
	if err := s.newest(ctx, snap, sum.Models); err != nil {
		return sum, err
	}
	if sum.Gate, err = s.verdict(ctx, snap); err != nil {
		return sum, err
	}
	if sum.NewKind, err = s.compare(ctx, snap); err != nil {
		return sum, err
	}
	sum.Serving.Traffic = map[string]int{}
	for _, r := range snap.Serving.Revisions {
		if sum.Serving.Traffic[r.Revision] = r.Percent; r.Percent == 100 {
			sum.Serving.Revision = r.Revision
		}
	}
	var latencies []float64
	for _, sent := range s.journal.Sent {
		sum.Serving.Requests += sent.Requests
		sum.Serving.Errors += sent.Errors
		latencies = append(latencies, sent.Latencies...)
	}
	sum.Serving.P50, sum.Serving.P99 = quantile(latencies, 0.5), quantile(latencies, 0.99)
	decision := fired(snap)
	sum.Retrain = RetrainSummary{string(decision.Decision.Outcome), decision.Decision.Reasons, decision.ID, len(snap.Ledger)}
	var html string
	if d := decision.Inputs.Drift; d != nil {
		r, err := drift.NewStore(s.loop.Bucket(s.loop.Predictions)).Get(ctx, d.Report)
		if err != nil {
			return sum, err
		}
		w := drift.NewStore(s.loop.Bucket(s.loop.Predictions)).Summarise(r)
		sum.Drift = DriftSummary{w.Verdict.Outcome, w.Verdict.Score, w.Verdict.Threshold, w.Share, w.Columns}
		html = s.link(w.HTML)
	}
	for _, sub := range s.loop.Cloud.PubSub.Stats() {
		if sub.Push {
			sum.Events.Handled += sub.Acked
			sum.Events.Delivered += sub.Delivered
		}
		sum.Events.Dead += sub.Dead
	}
	sum.Stages = s.board.Spent()
	sum.Look = map[string]string{
		"api":             snap.Serving.URL + "/docs",
		"drift_report":    html,
		"data_set_report": s.at(s.loop.Datasets, dataset.VersionObject(v.ID, "report.html")),
	}
	sum.Ending = Replaced
	serves := sum.Gate.Version
	if !sum.Gate.Passed {
		sum.Ending, serves = Kept, sum.Gate.Against
	}
	sum.Closed = snap.Aliases["staging"] == serves && len(sum.Models) > 1 && sum.Serving.Errors == 0 && sum.Events.Dead == 0
	if !sum.Closed {
		return sum, fmt.Errorf("the loop did not close: see the summary")
	}
	return sum, nil
}

// newest fills in what the newest version's gate compared.
func (s *story) newest(ctx context.Context, snap client.Snapshot, models []ModelSummary) error {
	verdict := snap.Models[len(snap.Models)-1].Gate
	var e gate.Evaluation
	if _, err := blob.ReadJSON(ctx, s.loop.Bucket(s.loop.Models), verdict.Evaluation, &e); err != nil {
		return fmt.Errorf("the newest gate's evidence: %w", err)
	}
	for i := range models {
		switch {
		case i == len(models)-1:
			models[i].OnNewest = &Figures{e.Dataset, e.Candidate.MAP50, e.Candidate.MAP50_95}
		case models[i].Version == e.Against && e.Serving != nil:
			models[i].OnNewest = &Figures{e.Dataset, e.Serving.MAP50, e.Serving.MAP50_95}
		}
	}
	return nil
}

// link turns a gs:// address into one that a browser opens.
func (s *story) link(address string) string {
	bucket, object, _ := strings.Cut(strings.TrimPrefix(address, "gs://"), "/")
	return s.at(bucket, object)
}

// Print writes the summary for people.
func (sum Summary) Print(w io.Writer, state string) {
	fmt.Fprintf(w, "\nThe loop closed: %s.\n\n", sum.Gate.Says)
	fmt.Fprintf(w, "  data set     %.12s: %d photos, %d boxes, %d classes, %d photos held out\n", sum.Dataset.ID, sum.Dataset.Photos, sum.Dataset.Boxes, len(sum.Dataset.Classes), sum.Dataset.HeldOut)
	for _, m := range sum.Models {
		fmt.Fprintf(w, "  model %d      mAP50 %.3f, mAP50-95 %.3f on its own held-out photos", m.Version, m.MAP50, m.MAP5095)
		if n := m.OnNewest; n != nil {
			fmt.Fprintf(w, "; mAP50-95 %.3f on the newest", n.MAP5095)
		}
		fmt.Fprintf(w, "  %s\n", strings.Join(m.Aliases, " "))
	}
	fmt.Fprintf(w, "  new kind     mAP50 %.3f before, %.3f after (%d photos that neither model was trained on)\n", sum.NewKind.Before, sum.NewKind.After, sum.NewKind.Photos)
	fmt.Fprintf(w, "  serving      %s at 100 %%, %d photos answered, %d errors, p50 %.0f ms, p99 %.0f ms\n", sum.Serving.Revision, sum.Serving.Requests, sum.Serving.Errors, sum.Serving.P50, sum.Serving.P99)
	fmt.Fprintf(w, "  drift        %s: score %.1f against %.1f; Evidently's tests: %.0f %% of columns\n", sum.Drift.Verdict, sum.Drift.Score, sum.Drift.Threshold, 100*sum.Drift.Share)
	fmt.Fprintf(w, "  retraining   %s: %s\n", sum.Retrain.Decision, strings.Join(sum.Retrain.Reasons, ", "))
	fmt.Fprintf(w, "  events       %d handled in %d deliveries, %d given up\n\n", sum.Events.Handled, sum.Events.Delivered, sum.Events.Dead)
	fmt.Fprintf(w, "Start it again with  litterloop up --state %s  and look at\n\n", state)
	fmt.Fprintf(w, "  the API of %s     %s\n  the drift report       %s\n  the data set report    %s\n", sum.Serving.Revision, sum.Look["api"], sum.Look["drift_report"], sum.Look["data_set_report"])
}
