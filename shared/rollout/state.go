package rollout

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/litterloop/litterloop/shared/blob"
)

// State is where a rollout stands as a whole.
type State string

// States of a rollout. All but Running are final.
const (
	Running    State = "running"
	Serving    State = "serving"     // it got all traffic; a newer one may have taken over since
	RolledBack State = "rolled-back" // it failed; traffic is where it was before
	Superseded State = "superseded"  // a newer version served already when its turn came
)

// phase is what a running rollout does next. It is on record before it is
// begun, and doing it twice is harmless: that is what makes a rollout resumable
// between any two steps.
type phase string

const (
	deploying phase = "deploy"   // declare the revision
	checking  phase = "check"    // smoke test and golden photos, before any traffic
	shifting  phase = "shift"    // give it the share of Step
	holding   phase = "hold"     // watch it until HoldUntil, then check again
	promoting phase = "promote"  // alias staging follows
	cleaning  phase = "clean"    // old tags and revisions go
	returning phase = "rollback" // traffic goes back to Previous
)

// Rollout is the record of one version's rollout, rollouts/MODEL/N.json in the
// models bucket.
type Rollout struct {
	Model    string `json:"model"`
	Version  int    `json:"version"`
	Revision string `json:"revision"`
	State    State  `json:"state"`
	Phase    phase  `json:"phase,omitempty"` // of a running rollout

	// Previous is the revision that served before; empty for the first one.
	Previous  string     `json:"previous,omitempty"`
	Step      int        `json:"step"` // index into the policy's steps
	HoldUntil *time.Time `json:"hold_until,omitempty"`
	Shifted   *time.Time `json:"shifted,omitempty"`  // when the share of Step took effect
	Baseline  *Requests  `json:"baseline,omitempty"` // at the begin of the hold

	Checks  []Check `json:"checks,omitempty"` // what was seen, in order
	Code    string  `json:"code,omitempty"`   // why it was rolled back or superseded
	Failure string  `json:"failure,omitempty"`

	Started time.Time  `json:"started"`
	Ended   *time.Time `json:"ended,omitempty"`
}

// Requests are counters of a revision since its process started.
type Requests struct {
	Total  float64 `json:"total"`
	Errors float64 `json:"errors"` // status 500 and above
}

// Check is what one round of checks saw.
type Check struct {
	Time      time.Time `json:"time"`
	Percent   int       `json:"percent"` // share of traffic at that time
	Photos    int       `json:"photos"`  // golden photos that matched
	Latency   float64   `json:"latency_ms"`
	Reference float64   `json:"previous_latency_ms,omitempty"` // the serving version's, same photos
	Requests  float64   `json:"requests,omitempty"`            // during the hold
	ErrorRate float64   `json:"error_rate,omitempty"`
}

// revisionName and tagName are what a version is called on the platform.
func revisionName(model string, version int) string { return fmt.Sprintf("%s-v%d", model, version) }
func tagName(version int) string                    { return fmt.Sprintf("v%d", version) }

// versionOf is the inverse of revisionName.
func versionOf(model, revision string) (version int, ok bool) {
	s, ok := strings.CutPrefix(revision, model+"-v")
	if !ok {
		return 0, false
	}
	version, err := strconv.Atoi(s)
	return version, err == nil
}

func prefix(model string) string { return "rollouts/" + model + "/" }

func document(model string, version int) string {
	return fmt.Sprintf("%s%d.json", prefix(model), version)
}

// Load returns the record of a version's rollout in the models bucket;
// errs.NotFound when there was none.
func Load(ctx context.Context, models blob.Bucket, model string, version int) (ro Rollout, err error) {
	_, err = blob.ReadJSON(ctx, models, document(model, version), &ro)
	return ro, err
}

func leaseDocument(model string) string { return "rollouts/" + model + ".lease" }
