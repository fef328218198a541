// Package verify finds what of a data set version is damaged: in its bucket, or
// in a directory that it was pulled into.
package verify

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/litterloop/litterloop/shared/errs"
)

// What can be wrong with a file.
const (
	Missing    errs.Code = "missing"
	Corrupt    errs.Code = "corrupt"    // its MD5 is another
	SizeWrong  errs.Code = "size-wrong" // it is longer or shorter
	Unreadable errs.Code = "unreadable"
	Extra      errs.Code = "extra"      // the version does not have it
	Unlisted   errs.Code = "unlisted"   // the version's photos and its listing disagree
	Altered    errs.Code = "altered"    // the version's own documents are not those it was made with
	NotRegular errs.Code = "no-regular" // a directory, link or device stands there
)

// Damage is one thing that is wrong.
type Damage struct {
	Path string    `json:"path"`             // in the version
	Name string    `json:"object,omitempty"` // gs://… of what is damaged
	Code errs.Code `json:"code"`
	Note string    `json:"note"` // what was found, for people
}

// Report is what a check found.
type Report struct {
	Dataset string   `json:"dataset"`
	Files   int      `json:"files"` // checked
	Bytes   int64    `json:"bytes"` // of them
	Damage  []Damage `json:"damage"`
}

// Sound tells that nothing is wrong.
func (r Report) Sound() bool { return len(r.Damage) == 0 }

func (r *Report) sort() {
	slices.SortFunc(r.Damage, func(x, y Damage) int { return cmp.Or(cmp.Compare(x.Path, y.Path), cmp.Compare(x.Code, y.Code)) })
}

// fault is the code of a failed read; ok is false for an error that says
// nothing about the file: the bucket is away, or the caller gave up.
func fault(err error) (code errs.Code, ok bool) {
	switch {
	case errors.Is(err, errs.Unavailable), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return "", false
	case errors.Is(err, errs.NotFound):
		return Missing, true
	}
	return Unreadable, true
}
