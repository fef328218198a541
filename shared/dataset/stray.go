package dataset

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/errs"
)

// Stray is the document that tells whoever dropped an object that no batch can
// hold it, and why. It lies at StrayObject in the incoming bucket.
type Stray struct {
	Schema  int       `json:"schema"`
	Object  string    `json:"object"`
	Code    errs.Code `json:"code"`
	Message string    `json:"message"` // what is wrong and what to do
}

const strayPrefix = RejectedPrefix + "object-"

// StrayObject is the object of the incoming bucket that tells why an object is
// not taken. It is named by a hash, because a name that no batch can have may be
// one that nothing else can have either.
func StrayObject(object string) string {
	sum := sha256.Sum256([]byte(object))
	return strayPrefix + hex.EncodeToString(sum[:8]) + ".json"
}

// Strays returns up to limit objects that no batch can hold and that are still
// there, and how many more were told of. Deleting such an object settles it.
func Strays(ctx context.Context, incoming blob.Bucket, limit int) (all []Stray, more int, err error) {
	for a, err := range incoming.List(ctx, strayPrefix) {
		if err != nil {
			return all, more, err
		}
		if len(all) == limit {
			more++
			continue
		}
		var s Stray
		if _, err := blob.ReadJSON(ctx, incoming, a.Name, &s); errors.Is(err, errs.NotFound) {
			continue
		} else if err != nil {
			return all, more, err
		}
		if _, err := incoming.Stat(ctx, s.Object); errors.Is(err, errs.NotFound) {
			continue
		} else if err != nil {
			return all, more, err
		}
		all = append(all, s)
	}
	return all, more, nil
}
