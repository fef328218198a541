package rollout

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/modelpackage"
)

// tries is how often a request of a check may fail before the version is
// blamed: a connection can break for reasons of its own.
const tries = 3

// slowEnough is the latency below which versions are not compared: noise would
// decide.
const slowEnough = 50 * time.Millisecond

// prober reaches a revision under its tag.
func (r *Roller) prober(ctx context.Context, service, revision string) (prober, error) {
	s, err := r.Platform.Describe(ctx, service)
	if err != nil {
		return prober{}, err
	}
	st, ok := s.Status(revision)
	if !ok || st.URL == "" {
		return prober{}, fmt.Errorf("revision %s has no URL of its own: %w", revision, errs.Unavailable)
	}
	return prober{client: r.HTTP, url: st.URL, now: r.Now}, nil
}

// check asks the revision everything a version must answer, and records what it
// saw. An error with a reason code is the version's fault; others are not.
func (r *Roller) check(ctx context.Context, ro *Rollout, percent int) error {
	v, err := r.Registry.Get(ctx, ro.Model, ro.Version)
	if errors.Is(err, errs.NotFound) {
		return errs.Permanent(CodeUnknownVersion, err)
	} else if err != nil {
		return err
	}
	p, err := r.prober(ctx, ro.Model, ro.Revision)
	if err != nil {
		return err
	}
	c := Check{Time: r.Now().UTC(), Percent: percent}
	err = r.insist(ctx, CodeSmokeFailed, func() error { return p.smoke(ctx, v.Version, v.SHA256) })
	if err != nil {
		return err
	}
	var reference *prober
	if ro.Previous != "" && percent > 0 {
		if q, err := r.prober(ctx, ro.Model, ro.Previous); err == nil {
			reference = &q
		}
	}
	if err := r.golden(ctx, p, reference, v.Package, &c); err != nil {
		return err
	}
	if err := r.watched(ctx, p, ro, &c); err != nil {
		return err
	}
	ro.Checks = append(ro.Checks, c)
	return nil
}

// insist repeats a request and blames the version with code when it goes on
// failing. When ctx ends nobody is to blame.
func (r *Roller) insist(ctx context.Context, code errs.Code, ask func() error) error {
	for try := 1; ; try++ {
		err := ask()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if try == tries {
			return errs.Permanent(code, err)
		}
		if err := r.Sleep(ctx, time.Duration(try)*pause); err != nil {
			return err
		}
	}
}

// golden posts the package's golden photos and compares with the trainer's own
// answers, and the time taken with that of the version before.
func (r *Roller) golden(ctx context.Context, p prober, reference *prober, pkg string, c *Check) error {
	var g modelpackage.Golden
	if _, err := blob.ReadJSON(ctx, r.Models, pkg+modelpackage.GoldenFile, &g); errors.Is(err, errs.NotFound) {
		return errs.Permanentf(CodeGoldenMismatch, "the package has no golden photos: nothing shows that it is served rightly: %w", err)
	} else if err != nil {
		return err
	}
	fastest, before := time.Duration(math.MaxInt64), time.Duration(math.MaxInt64)
	for _, gp := range g.Photos {
		photo, _, err := blob.ReadAll(ctx, r.Models, pkg+modelpackage.GoldenDir+gp.File)
		if errors.Is(err, errs.NotFound) {
			return errs.Permanent(CodeGoldenMismatch, err)
		} else if err != nil {
			return err
		}
		err = r.insist(ctx, CodeGoldenMismatch, func() error {
			got, took, err := p.detect(ctx, photo, g)
			if err != nil {
				return err
			}
			fastest = min(fastest, took)
			if err := equivalent(gp.Detections, got, g.Conf); err != nil {
				return fmt.Errorf("golden photo %s: %w", gp.File, err)
			}
			return nil
		})
		if err != nil {
			return err
		}
		c.Photos++
		if reference != nil {
			if _, took, err := reference.detect(ctx, photo, g); err == nil {
				before = min(before, took)
			}
		}
	}
	if c.Photos == 0 {
		return errs.Permanent(CodeGoldenMismatch, errors.New("the package has no golden photos: nothing shows that it is served rightly"))
	}
	c.Latency = float64(fastest) / float64(time.Millisecond)
	if before == math.MaxInt64 {
		return nil
	}
	c.Reference = float64(before) / float64(time.Millisecond)
	if f := r.Policy.LatencyFactor; f > 0 && fastest > slowEnough && float64(fastest) > f*float64(before) {
		return errs.Permanentf(CodeSlower, "the fastest answer took %s, that of the version before %s: more than %g times as long", fastest, before, f)
	}
	return nil
}

// watched holds the share of errors since the begin of the hold to the policy.
func (r *Roller) watched(ctx context.Context, p prober, ro *Rollout, c *Check) error {
	seen, err := r.seen(ctx, p, ro)
	if err != nil || seen.Total == 0 {
		return err
	}
	c.Requests, c.ErrorRate = seen.Total, seen.Errors/seen.Total
	if c.ErrorRate > r.Policy.MaxErrorRate {
		return errs.Permanentf(CodeErrorRate, "%.1f %% of %.0f requests failed; the policy allows %.1f %%", 100*c.ErrorRate, c.Requests, 100*r.Policy.MaxErrorRate)
	}
	return nil
}

// seen are the requests since the begin of the hold; none before there is one.
func (r *Roller) seen(ctx context.Context, p prober, ro *Rollout) (Requests, error) {
	if r.Traffic != nil {
		if ro.Shifted == nil {
			return Requests{}, nil
		}
		// Without an answer nothing shows that the version is well: the event
		// comes again rather than the traffic being shifted blindly.
		return r.Traffic.Requests(ctx, ro.Model, ro.Revision, *ro.Shifted)
	}
	if ro.Baseline == nil {
		return Requests{}, nil
	}
	now, err := p.requests(ctx)
	if err != nil { // a detector without metrics
		return Requests{}, ctx.Err()
	}
	if now.Total < ro.Baseline.Total { // its process has started anew
		return now, nil
	}
	return Requests{Total: now.Total - ro.Baseline.Total, Errors: now.Errors - ro.Baseline.Errors}, nil
}
