package demo

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/litterloop/litterloop/cmd/litterloop/client"
	"github.com/litterloop/litterloop/cmd/litterloop/progress"
	"github.com/litterloop/litterloop/shared/dataset"
	"github.com/litterloop/litterloop/shared/drift"
	"github.com/litterloop/litterloop/shared/registry"
	"github.com/litterloop/litterloop/shared/retrain"
	"github.com/litterloop/litterloop/shared/rollout"
	"github.com/litterloop/litterloop/shared/training"
	"github.com/litterloop/litterloop/shared/validation"
)

// look is how often the watcher reads where the loop stands: often enough for a
// person, seldom enough to leave the processors to the training.
const look = 400 * time.Millisecond

// patience is how long the schedule may take to find drift once all photos of the
// new kind were answered: the log is written within a second, and checks follow
// every few.
const patience = 40 * time.Second

// watch shows a stage until see says that it is done, from snapshots of the loop.
func (s *story) watch(ctx context.Context, title string, see func(*progress.Stage, client.Snapshot) (done string, err error)) error {
	stage := s.board.Stage(title)
	tick := time.NewTicker(look)
	defer tick.Stop()
	for {
		snap, err := s.loop.Snapshot(ctx)
		if err == nil {
			var done string
			if done, err = see(stage, snap); err == nil && done != "" {
				stage.Done("%s", done)
				return nil
			}
		} else if ctx.Err() == nil { // a look that failed says nothing of the loop
			s.o.Log.Warn("looking failed", "stage", title, "error", err)
			err = nil
		}
		if err == nil {
			err = s.dead()
		}
		if err != nil {
			stage.Fail(err)
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			stage.Fail(ctx.Err())
			return ctx.Err()
		}
	}
}

// dead reports an event that was given up: the loop will not close by itself.
func (s *story) dead() error {
	for _, sub := range s.loop.Cloud.PubSub.Stats() {
		if sub.Dead > 0 {
			return fmt.Errorf("%d events of %s were given up: %s (`litterloop events` lists them)", sub.Dead, sub.Subscription, sub.LastError)
		}
	}
	return nil
}

// follow watches a batch from its objects to a model that serves, version n.
func (s *story) follow(batch string, n int) func(context.Context) error {
	return func(ctx context.Context) error {
		if n == 1 {
			if err := s.converted(ctx, batch); err != nil {
				return err
			}
		}
		if err := s.watch(ctx, "train", func(stage *progress.Stage, snap client.Snapshot) (string, error) { return trained(stage, snap, n) }); err != nil {
			return err
		}
		refused := false
		if err := s.watch(ctx, "register", func(_ *progress.Stage, snap client.Snapshot) (done string, err error) {
			done, refused, err = registered(snap, n)
			return done, err
		}); err != nil {
			return err
		}
		if refused {
			return s.watch(ctx, "deploy", func(_ *progress.Stage, snap client.Snapshot) (string, error) { return kept(snap, n) })
		}
		return s.watch(ctx, "deploy", func(stage *progress.Stage, snap client.Snapshot) (string, error) { return deployed(stage, snap, n) })
	}
}

func (s *story) converted(ctx context.Context, batch string) error {
	var version string
	if err := s.watch(ctx, "convert", func(stage *progress.Stage, snap client.Snapshot) (string, error) {
		i := slices.IndexFunc(snap.Batches, func(b dataset.BatchStatus) bool { return b.Batch == batch })
		if i < 0 {
			return "", nil
		}
		b := snap.Batches[i]
		switch b.State {
		case dataset.Rejected:
			return "", rejected(b, s.loop.Incoming)
		case dataset.Waiting:
			stage.Set(b.Photos-b.Missing, b.Photos, "%s", b.WaitsFor())
			return "", nil
		}
		version = b.Version
		return fmt.Sprintf("data set %.12s: %d photos, %d boxes", b.Version, b.Counts.Photos, b.Counts.Boxes), nil
	}); err != nil {
		return err
	}
	return s.watch(ctx, "validate", func(_ *progress.Stage, snap client.Snapshot) (string, error) {
		if i := slices.IndexFunc(snap.Versions, func(v dataset.Version) bool { return v.ID == snap.Current }); i >= 0 && slices.Contains(snap.Versions[i].Batches, batch) {
			return "passed; report: " + s.at(s.loop.Datasets, dataset.VersionObject(snap.Current, "report.html")), nil
		}
		r, err := validation.Load(ctx, s.loop.Bucket(s.loop.Datasets), version)
		if err == nil && len(r.Blocking()) > 0 {
			return "", fmt.Errorf("data set %s does not pass: %s", version, strings.Join(r.Blocking(), "; "))
		}
		return "", nil
	})
}

// rejected says why a batch is not used, and where it is told in full.
func rejected(b dataset.BatchStatus, incoming string) error {
	var why []string
	for _, f := range b.Findings {
		if f.Kind == dataset.Quarantined {
			why = append(why, fmt.Sprintf("%s (%d): %s", f.Code, f.Count, f.Message))
		}
	}
	return fmt.Errorf("batch %s was rejected: %s; all of it: gs://%s/%s", b.Batch, strings.Join(why, "; "), incoming, dataset.RejectedObject(b.Batch))
}

func trained(stage *progress.Stage, snap client.Snapshot, n int) (string, error) {
	if len(snap.Trainings) < n {
		return "", nil
	}
	t := snap.Trainings[n-1]
	if t.State == training.Failed {
		return "", errors.New("the training failed: " + t.Failure)
	}
	if version(snap, t.Run) != nil {
		return fmt.Sprintf("run %.12s on data set %.12s", t.Run, t.Dataset), nil
	}
	if p := snap.Progress; p != nil {
		words := string(p.Phase)
		if loss, ok := p.Metrics["loss"]; ok {
			words += fmt.Sprintf(", loss %.2f", loss)
		}
		if m, ok := p.Metrics["mAP50"]; ok {
			words += fmt.Sprintf(", mAP50 %.3f", m)
		}
		stage.Set(p.Step, p.Steps, "%s", words)
	}
	return "", nil
}

// version finds the model version of a run.
func version(snap client.Snapshot, run string) *registry.Version {
	for i := range snap.Models {
		if snap.Models[i].Run == run {
			return &snap.Models[i]
		}
	}
	return nil
}

// registered waits for the gate's verdict on version n. That a later model is not
// good enough is no failure of the loop: the model before it serves on.
func registered(snap client.Snapshot, n int) (done string, refused bool, err error) {
	v := version(snap, snap.Trainings[n-1].Run)
	if v.Gate == nil {
		return "", false, nil
	}
	if v.Gate.Passed {
		return fmt.Sprintf("version %d, gate passed", v.Version), false, nil
	}
	var why []string
	for _, r := range v.Gate.Reasons {
		why = append(why, r.Message)
	}
	text := fmt.Sprintf("the gate refused version %d: %s", v.Version, strings.Join(why, "; "))
	if v.Gate.Against == 0 || !honest(*v.Gate) {
		return "", true, errors.New(text)
	}
	return text, true, nil
}

// kept waits until the refused training is over, and sees that nothing of it
// reached the traffic.
func kept(snap client.Snapshot, n int) (string, error) {
	v := version(snap, snap.Trainings[n-1].Run)
	if slices.ContainsFunc(snap.Rollouts, func(r rollout.Rollout) bool { return r.Version == v.Version }) {
		return "", fmt.Errorf("version %d was refused by its gate and is being rolled out", v.Version)
	}
	if snap.Trainings[n-1].State == training.Running {
		return "", nil
	}
	return fmt.Sprintf("nothing to deploy; @staging stays version %d", snap.Aliases["staging"]), nil
}

func deployed(stage *progress.Stage, snap client.Snapshot, n int) (string, error) {
	v := version(snap, snap.Trainings[n-1].Run)
	i := slices.IndexFunc(snap.Rollouts, func(r rollout.Rollout) bool { return r.Version == v.Version })
	if i < 0 {
		return "", nil
	}
	r := snap.Rollouts[i]
	switch {
	case r.State == rollout.RolledBack:
		return "", fmt.Errorf("version %d was rolled back: %s", v.Version, r.Failure)
	case r.State != rollout.Running && snap.Aliases["staging"] >= v.Version:
		return fmt.Sprintf("%s serves all traffic; @staging is version %d", r.Revision, snap.Aliases["staging"]), nil
	}
	stage.Set(r.Step, 2, "%s, %s", r.Revision, r.Phase)
	return "", nil
}

// noDrift watches the schedule find nothing on traffic of the usual kind.
func (s *story) noDrift(ctx context.Context) error {
	return s.watch(ctx, "drift check", func(_ *progress.Stage, snap client.Snapshot) (string, error) {
		if s.journal.Sent["new"] != nil || fired(snap) != nil {
			return "was made", nil
		}
		d := snap.Drift
		switch {
		case d == nil || d.Window.Photos < len(s.material.Usual) && d.Verdict.Outcome == drift.Insufficient:
			return "", nil // the log is still being written
		case d.Verdict.Outcome == drift.Insufficient:
			return "", errors.New("too little data for a verdict on drift: " + d.Verdict.Reason)
		}
		return fmt.Sprintf("%s: %s", d.Verdict.Outcome, d.Verdict.Reason), nil
	})
}

// held watches the second batch being converted, validated and left to wait.
func (s *story) held(ctx context.Context) error {
	if err := s.converted(ctx, secondBatch); err != nil {
		return err
	}
	return s.watch(ctx, "train on it?", func(_ *progress.Stage, snap client.Snapshot) (string, error) {
		for _, e := range snap.Ledger {
			if e.Inputs.Dataset != snap.Current || e.Inputs.Baseline == "" || e.Inputs.Baseline == e.Inputs.Dataset {
				continue
			}
			return fmt.Sprintf("%s: %s (%d new labels to %d)", e.Decision.Outcome, strings.Join(e.Decision.Reasons, ", "), e.Inputs.NewLabels, e.Inputs.BaselineLabels), nil
		}
		return "", nil
	})
}

// drifted watches drift being found and the retraining fired for it.
func (s *story) drifted(ctx context.Context) error {
	begin := time.Now()
	return s.watch(ctx, "drift check", func(stage *progress.Stage, snap client.Snapshot) (string, error) {
		if e := fired(snap); e != nil {
			return fmt.Sprintf("retrain %s: %s", e.Decision.Outcome, strings.Join(e.Decision.Reasons, ", ")), nil
		}
		if d := snap.Drift; d != nil {
			stage.Set(0, 1, "%s, score %.1f of %.1f", d.Verdict.Outcome, d.Verdict.Score, d.Verdict.Threshold)
			if time.Since(begin) > patience && d.Verdict.Outcome == drift.Stable {
				return "", fmt.Errorf("no drift was found on photos of the new kind: %s", d.Verdict.Reason)
			}
		}
		return "", nil
	})
}

// fired is the decision that started the second training.
func fired(snap client.Snapshot) *retrain.Entry {
	for i, e := range snap.Ledger {
		if e.Decision.Outcome == retrain.Fired && e.Inputs.Baseline != "" {
			return &snap.Ledger[i]
		}
	}
	return nil
}

// at is where a person opens an object of the local cloud.
func (s *story) at(bucket, object string) string {
	return "http://" + s.loop.Cloud.Endpoints.Storage + "/" + bucket + "/" + object
}
