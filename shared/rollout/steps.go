package rollout

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/litterloop/litterloop/shared/bus"
	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/event"
	"github.com/litterloop/litterloop/shared/registry"
)

// step does what ro.Phase says and sets the next phase. On an error the phase
// stays, to be done again. A permanent error is the version's own fault: it
// turns the rollout back.
func (r *Roller) step(ctx context.Context, ro *Rollout) (err error) {
	defer errs.Wrap(&err, "%s %s", ro.Phase, ro.Revision)
	switch ro.Phase {
	case deploying:
		err = r.deploy(ctx, ro)
	case checking:
		err = r.check(ctx, ro, 0)
		ro.Phase = next(err, ro.Phase, shifting)
		if ro.Previous == "" { // nothing to share the traffic with
			ro.Step = len(r.Policy.Steps) - 1
		}
	case shifting:
		err = r.shift(ctx, ro)
	case holding:
		err = r.hold(ctx, ro)
	case promoting:
		err = r.Registry.SetAlias(ctx, ro.Model, registry.Staging, ro.Version, "deploy", "rolled out to 100 %")
		ro.Phase = next(err, ro.Phase, cleaning)
	case cleaning:
		if err = r.clean(ctx, ro); err == nil {
			r.end(ro, Serving)
		}
		return err // past the point of return
	case returning:
		return r.rollBack(ctx, ro)
	default:
		return fmt.Errorf("the record of the rollout names an unknown phase %q", ro.Phase)
	}
	if code, permanent := errs.Reason(err); permanent {
		ro.Code, ro.Failure, ro.Phase = string(code), err.Error(), returning
		return nil
	}
	return err
}

// next is the phase after a step: the same one when it is to be repeated.
func next(err error, now, then phase) phase {
	if err != nil {
		return now
	}
	return then
}

func (r *Roller) deploy(ctx context.Context, ro *Rollout) error {
	env := map[string]string{}
	maps.Copy(env, r.Env)
	env["MODEL_URI"] = fmt.Sprintf("models:/%s/%d", ro.Model, ro.Version)
	err := r.Platform.EnsureRevision(ctx, ro.Model, Revision{Name: ro.Revision, Tag: tagName(ro.Version), Env: env})
	ro.Phase = next(err, ro.Phase, checking)
	return err
}

// shift gives the version the traffic of its step and begins the hold.
func (r *Roller) shift(ctx context.Context, ro *Rollout) error {
	percent := r.Policy.Steps[min(ro.Step, len(r.Policy.Steps)-1)]
	if err := r.Platform.SetTraffic(ctx, ro.Model, r.shares(ro, percent)); err != nil {
		return err
	}
	hold := time.Duration(r.Policy.Hold)
	if r.Traffic != nil {
		hold += r.Traffic.Delay()
	} else {
		p, err := r.prober(ctx, ro.Model, ro.Revision)
		if err != nil {
			return err
		}
		if base, err := p.requests(ctx); err == nil {
			ro.Baseline = &base
		} else if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	now := r.Now().UTC()
	until := now.Add(hold)
	ro.Shifted, ro.HoldUntil, ro.Phase = &now, &until, holding
	return nil
}

// shares splits the traffic between the version and the one before. Both keep a
// tag, so that both stay ready and can be asked directly.
func (r *Roller) shares(ro *Rollout, percent int) []Share {
	shares := []Share{{ro.Revision, percent, tagName(ro.Version)}}
	if ro.Previous != "" {
		shares = append(shares, Share{ro.Previous, 100 - percent, previousTag})
	}
	return shares
}

// previousTag reaches the version that is being replaced; its own name's tag
// would do as well, but a revision that people made has none.
const previousTag = "previous"

// hold waits for the end of the hold, checks again, and goes on to the next step.
func (r *Roller) hold(ctx context.Context, ro *Rollout) error {
	if err := r.Sleep(ctx, ro.HoldUntil.Sub(r.Now())); err != nil {
		return err
	}
	step := min(ro.Step, len(r.Policy.Steps)-1)
	if err := r.check(ctx, ro, r.Policy.Steps[step]); err != nil {
		return err
	}
	ro.Shifted, ro.HoldUntil, ro.Baseline = nil, nil, nil
	if ro.Step, ro.Phase = step+1, shifting; ro.Step == len(r.Policy.Steps) {
		ro.Phase = promoting
	}
	return nil
}

// clean takes the tags off older revisions, so that they cost nothing, and
// deletes the oldest. What cannot be deleted now is for the next rollout.
func (r *Roller) clean(ctx context.Context, ro *Rollout) error {
	if err := r.Platform.SetTraffic(ctx, ro.Model, []Share{{ro.Revision, 100, tagName(ro.Version)}}); err != nil {
		return err
	}
	s, err := r.Platform.Describe(ctx, ro.Model)
	if err != nil {
		return err
	}
	kept := 1 // the serving one
	for i := len(s.Revisions) - 1; i >= 0; i-- {
		name := s.Revisions[i].Revision
		if _, ours := versionOf(ro.Model, name); !ours || name == ro.Revision {
			continue
		}
		if kept++; kept <= r.Policy.KeepRevisions {
			continue
		}
		if err := r.Platform.DeleteRevision(ctx, ro.Model, name); err != nil && !errors.Is(err, errs.Conflict) {
			return err
		}
	}
	return nil
}

// rollBack gives the traffic back to what served before, tells people, and ends
// the rollout. A first version leaves nothing to go back to: it is removed.
func (r *Roller) rollBack(ctx context.Context, ro *Rollout) error {
	aliases, err := r.Registry.Aliases(ctx, ro.Model)
	if err != nil {
		return err
	}
	overtaken := aliases[registry.Staging] > ro.Version
	switch {
	case overtaken: // traffic is the newer version's
	case ro.Previous != "":
		err = r.Platform.SetTraffic(ctx, ro.Model, []Share{{Revision: ro.Previous, Percent: 100, Tag: r.tagOf(ro.Model, ro.Previous)}})
	default:
		err = r.Platform.DeleteRevision(ctx, ro.Model, ro.Revision)
	}
	if err != nil && !errors.Is(err, errs.NotFound) {
		return err
	}
	after := "nothing serves"
	if overtaken {
		after = fmt.Sprintf("version %d serves", aliases[registry.Staging])
	} else if ro.Previous != "" {
		after = ro.Previous + " serves as before"
	}
	e, err := event.New(event.Alert, r.Now(), event.AlertData{
		Code: ro.Code, Subject: fmt.Sprintf("%s version %d was not rolled out", ro.Model, ro.Version),
		Message: fmt.Sprintf("%s; %s. Mend the cause and train again, or deploy another version.", ro.Failure, after),
		Links:   map[string]string{"rollout": "gs://" + r.Models.Name() + "/" + document(ro.Model, ro.Version)},
	}, "rollout", ro.Model, fmt.Sprint(ro.Version))
	if err != nil {
		return err
	}
	if err := r.Bus.Publish(ctx, bus.Alerts, e); err != nil {
		return err
	}
	r.end(ro, RolledBack)
	return nil
}

// tagOf is the tag that a revision of ours has while it serves.
func (r *Roller) tagOf(model, revision string) string {
	if n, ours := versionOf(model, revision); ours {
		return tagName(n)
	}
	return ""
}
