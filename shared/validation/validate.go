package validation

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/dataset"
	"github.com/litterloop/litterloop/shared/errs"
)

// Run validates a complete version and stores report.html and, last,
// validation.json. A version that was validated under the same policy is
// not validated again. Errors are the buckets' own: repeat.
func Run(ctx context.Context, b blob.Bucket, v dataset.Version, policy Policy, now func() time.Time) (r Result, err error) {
	defer errs.Wrap(&err, "validate data set version %q", v.ID)
	r, err = Load(ctx, b, v.ID)
	if err == nil && r.Policy == policy.Hash() {
		return r, nil
	}
	if err != nil && !errors.Is(err, errs.NotFound) {
		return r, err
	}
	photos, err := dataset.Photos(ctx, b, v.ID)
	if err != nil {
		return r, err
	}
	batches, err := dataset.Batches(ctx, b)
	if err != nil {
		return r, err
	}
	measured, faults, err := measure(ctx, b, v, photos)
	if err != nil {
		return r, err
	}
	r = check(v, photos, batches, measured, faults, policy)
	r.Created = now().UTC()
	page, err := report(ctx, b, v, photos, batches, measured, r, policy)
	if err != nil {
		return r, err
	}
	if _, err := b.Write(ctx, dataset.VersionObject(v.ID, dataset.ReportFile), bytes.NewReader(page), blob.WriteOptions{IfGeneration: blob.Any, ContentType: "text/html; charset=utf-8"}); err != nil {
		return r, err
	}
	_, err = blob.WriteJSON(ctx, b, dataset.VersionObject(v.ID, dataset.ValidationFile), r, blob.Any)
	return r, err
}

// check decides, given everything there is to know.
func check(v dataset.Version, photos []dataset.Photo, batches []dataset.BatchStatus, measured map[string]dataset.Measured, faults map[string]error, policy Policy) Result {
	f := &findings{policy: policy, byCode: map[errs.Code]*Finding{}}
	r := Result{Schema: 1, Dataset: v.ID, Policy: policy.Hash(), Counts: v.Counts, Splits: v.Splits}
	r.ConversionPx = checkLabels(f, v, photos)
	checkBatches(f, v, batches)
	checkPhotos(f, photos, measured, faults)
	r.Findings = f.sorted()
	r.Passed = len(r.Blocking()) == 0
	return r
}

// Load returns a version's result; errs.NotFound before it was validated.
func Load(ctx context.Context, b blob.Bucket, id string) (r Result, err error) {
	_, err = blob.ReadJSON(ctx, b, dataset.VersionObject(id, dataset.ValidationFile), &r)
	return r, err
}

// Approval is a person's word that a version may be trained on although it did
// not pass.
type Approval struct {
	Dataset string    `json:"dataset"`
	Who     string    `json:"who"`
	Why     string    `json:"why"`
	Created time.Time `json:"created"`
	Codes   []string  `json:"codes"` // the codes that had blocked it
}

// Approve records an approval, which wakes the validate function. A version
// that was not validated yet, passed, or was approved before cannot be approved:
// permanent errors "not-validated", "not-blocked" and "already-approved".
func Approve(ctx context.Context, b blob.Bucket, id, who, why string, now time.Time) error {
	r, err := Load(ctx, b, id)
	if errors.Is(err, errs.NotFound) {
		return errs.Permanentf("not-validated", "data set version %q was not validated: there is nothing to approve", id)
	}
	if err != nil {
		return err
	}
	if r.Passed {
		return errs.Permanentf("not-blocked", "data set version %q passed: it needs no approval", id)
	}
	if done, err := Approved(ctx, b, r); err != nil {
		return err
	} else if done {
		return errs.Permanentf("already-approved", "data set version %q is approved already: `litterloop data show` tells by whom and why", id)
	}
	_, err = blob.WriteJSON(ctx, b, dataset.VersionObject(id, dataset.ApprovalFile), Approval{Dataset: id, Who: who, Why: why, Created: now.UTC(), Codes: r.Blocking()}, blob.Any)
	return err
}

// LoadApproval returns a version's approval; errs.NotFound when there is none.
func LoadApproval(ctx context.Context, b blob.Bucket, id string) (a Approval, err error) {
	_, err = blob.ReadJSON(ctx, b, dataset.VersionObject(id, dataset.ApprovalFile), &a)
	return a, err
}

// Approved tells whether a person approved the version in spite of everything
// that blocks it now.
func Approved(ctx context.Context, b blob.Bucket, r Result) (bool, error) {
	a, err := LoadApproval(ctx, b, r.Dataset)
	if errors.Is(err, errs.NotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	approved := map[string]bool{}
	for _, c := range a.Codes {
		approved[c] = true
	}
	for _, c := range r.Blocking() {
		if !approved[c] {
			return false, nil
		}
	}
	return true, nil
}
