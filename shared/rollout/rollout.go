// Package rollout takes a registered model version into production step by
// step: a revision without traffic, checked; a share of the traffic, watched;
// all of it. What fails goes back to where it was. Every step is on record
// before it is taken, so that a rollout goes on from wherever it was cut off.
package rollout

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/bus"
	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/registry"
	"github.com/litterloop/litterloop/shared/telemetry"
)

// Reason codes.
const (
	CodeNotReady       errs.Code = "revision-not-ready"    // its container does not start
	CodeSmokeFailed    errs.Code = "smoke-test-failed"     // it is not ready, or serves another model
	CodeGoldenMismatch errs.Code = "golden-photo-mismatch" // it finds other things than the trainer did
	CodeErrorRate      errs.Code = "error-rate"            // too many 5xx during a hold
	CodeSlower         errs.Code = "slower"                // much slower than the version before
	CodeUnknownVersion errs.Code = "unknown-version"       // no such version in the registry
	CodeNewerServes    errs.Code = "newer-version-serves"
)

// Registry is what a rollout needs of the model registry.
type Registry interface {
	Get(ctx context.Context, model string, version int) (registry.Version, error)
	Aliases(ctx context.Context, model string) (map[string]int, error)
	SetAlias(ctx context.Context, model, alias string, version int, who, why string) error
}

// Options are what a Roller works with. All but Traffic and Env are needed.
type Options struct {
	Models   blob.Bucket // packages, and the records of rollouts
	Registry Registry
	Platform Platform
	Bus      bus.Publisher // alerts
	HTTP     *http.Client  // to revisions' URLs; signs requests where the platform asks for it
	// Traffic counts a revision's requests; nil: the revision's own /metrics do,
	// which tell of the instance that is asked alone.
	Traffic Traffic
	Policy  Policy
	Env     map[string]string // of every revision, beside MODEL_URI
	Now     func() time.Time
	// Sleep waits for d or until ctx ends, and returns ctx's error then.
	Sleep func(ctx context.Context, d time.Duration) error
	Log   *slog.Logger
}

// Roller rolls versions out.
type Roller struct{ Options }

// New returns a Roller, or every fault of its policy.
func New(o Options) (*Roller, error) {
	if err := o.Policy.Validate(); err != nil {
		return nil, err
	}
	return &Roller{o}, nil
}

// Run takes a version as far as it gets and returns its record. A record in a
// final state is a success, a rollback included: its alert has been published.
// An error is transient, and Run again goes on where this one ended; only an
// unknown version is permanent. Several Runs at once take turns by a lease;
// who does not get it is errs.Unavailable.
//
// A version older than the one that serves is never rolled out: its event came
// late.
func (r *Roller) Run(ctx context.Context, model string, version int) (ro Rollout, err error) {
	defer errs.Wrap(&err, "roll out %s version %d", model, version)
	if ro, _, err = r.read(ctx, model, version); err == nil && ro.State != Running {
		return ro, nil
	} else if err != nil && !errors.Is(err, errs.NotFound) {
		return ro, err
	}
	if _, err := r.Registry.Get(ctx, model, version); errors.Is(err, errs.NotFound) {
		return ro, errs.Permanent(CodeUnknownVersion, err)
	} else if err != nil {
		return ro, err
	}
	ctx, release, err := r.acquire(ctx, model)
	if err != nil {
		return ro, err
	}
	defer release()
	// What was cut off before goes first: nobody else may ever finish it, and
	// what serves is known only when it has ended.
	others, err := r.unfinished(ctx, model, version)
	if err != nil {
		return ro, err
	}
	for _, n := range append(others, version) {
		ro, err = r.finish(ctx, model, n)
		if cause := context.Cause(ctx); err != nil && cause != nil {
			return ro, cause // rather than its consequence
		}
		if err != nil && n < version {
			// Its own event will try it again; it must not bar a newer version.
			r.Log.WarnContext(ctx, "an older rollout does not end", "model", model, "version", n, "error", err)
			continue
		}
		if err != nil {
			return ro, err
		}
	}
	return ro, nil
}

// unfinished returns the other versions with a running rollout, oldest first.
func (r *Roller) unfinished(ctx context.Context, model string, but int) ([]int, error) {
	var out []int
	for a, err := range r.Models.List(ctx, prefix(model)) {
		if err != nil {
			return nil, err
		}
		n, err := strconv.Atoi(strings.TrimSuffix(strings.TrimPrefix(a.Name, prefix(model)), ".json"))
		if err != nil || n == but {
			continue
		}
		ro, _, err := r.read(ctx, model, n)
		if err != nil {
			return nil, err
		}
		if ro.State == Running {
			out = append(out, n)
		}
	}
	slices.Sort(out)
	return out, nil
}

func (r *Roller) read(ctx context.Context, model string, version int) (ro Rollout, generation int64, err error) {
	generation, err = blob.ReadJSON(ctx, r.Models, document(model, version), &ro)
	return ro, generation, err
}

// finish carries one rollout to a final state.
func (r *Roller) finish(ctx context.Context, model string, version int) (Rollout, error) {
	ro, generation, err := r.read(ctx, model, version)
	if errors.Is(err, errs.NotFound) {
		generation = blob.Absent
		ro, err = r.begin(ctx, model, version)
	}
	if err == nil && ro.State == Running {
		err = r.supersede(ctx, &ro)
	}
	if err == nil {
		// Written even when unchanged: a function that was thought dead and goes
		// on finds its next write refused.
		generation, err = blob.WriteJSON(ctx, r.Models, document(model, version), ro, generation)
	}
	for repeats := 0; err == nil && ro.State == Running; {
		before := ro.Phase
		err = r.traced(ctx, &ro)
		if repeatable(err) && repeats < maxRepeats {
			// The same step again, on what is there now.
			repeats++
			r.Log.WarnContext(ctx, "rollout step failed; trying again", "revision", ro.Revision, "step", before, "error", err)
			err = r.Sleep(ctx, time.Duration(repeats)*pause)
			continue
		}
		if err != nil {
			break
		}
		r.Log.InfoContext(ctx, "rollout", "revision", ro.Revision, "did", before, "next", ro.Phase, "state", ro.State)
		generation, err = blob.WriteJSON(ctx, r.Models, document(model, version), ro, generation)
	}
	return ro, err
}

// traced is step, as a span.
func (r *Roller) traced(ctx context.Context, ro *Rollout) (err error) {
	ctx, span := telemetry.Start(ctx, "rollout "+string(ro.Phase), attribute.String("revision", ro.Revision), attribute.Int("step", ro.Step))
	defer span.End(&err)
	defer func() { span.SetAttributes(attribute.String("code", ro.Code)) }()
	return r.step(ctx, ro)
}

// repeatable tells errors that may be gone in a moment: someone else changed
// the service, or the platform is away.
func repeatable(err error) bool {
	return errors.Is(err, errs.Conflict) || errors.Is(err, errs.Unavailable)
}

const (
	// maxRepeats is how often the steps of one Run are repeated; after that the
	// event comes again, later.
	maxRepeats = 5
	// pause between tries, multiplied by their number.
	pause = 200 * time.Millisecond
)

// begin decides what a version replaces.
func (r *Roller) begin(ctx context.Context, model string, version int) (Rollout, error) {
	ro := Rollout{
		Model: model, Version: version, Revision: revisionName(model, version),
		State: Running, Phase: deploying, Started: r.Now().UTC(),
	}
	s, err := r.Platform.Describe(ctx, model)
	if err != nil && !errors.Is(err, errs.NotFound) {
		return ro, err
	}
	most := 0
	for _, st := range s.Revisions {
		if st.Percent > most && st.Revision != ro.Revision {
			ro.Previous, most = st.Revision, st.Percent
		}
	}
	return ro, nil
}

// supersede ends a rollout when a newer version serves: its event came late, or
// it did not get on and was overtaken. All traffic is the newer one's already.
func (r *Roller) supersede(ctx context.Context, ro *Rollout) error {
	aliases, err := r.Registry.Aliases(ctx, ro.Model)
	if err != nil {
		return err
	}
	newer := aliases[registry.Staging]
	switch {
	case newer <= ro.Version || ro.Phase == returning:
	case ro.Phase == cleaning: // it served before the newer one did
		r.end(ro, Serving)
	default:
		ro.Code = string(CodeNewerServes)
		ro.Failure = fmt.Sprintf("version %d serves already", newer)
		r.end(ro, Superseded)
	}
	return nil
}

func (r *Roller) end(ro *Rollout, s State) {
	now := r.Now().UTC()
	ro.State, ro.Phase, ro.Ended = s, "", &now
	ro.Shifted, ro.HoldUntil, ro.Baseline = nil, nil, nil
}
