// Package validation decides whether a data set version may be trained on. It
// finds what is wrong or doubtful, and a policy says what of that blocks.
package validation

import (
	"slices"
	"strings"
	"time"

	"github.com/litterloop/litterloop/shared/dataset"
	"github.com/litterloop/litterloop/shared/errs"
)

// Codes of findings.
const (
	TooFewTrain      errs.Code = "too-few-train-photos"
	TooFewVal        errs.Code = "too-few-val-photos"
	NoBoxes          errs.Code = "no-boxes"
	Corrupt          errs.Code = "photo-corrupt"
	SizeWrong        errs.Code = "size-wrong"
	SplitLeak        errs.Code = "photo-in-both-splits"
	BatchesShare     errs.Code = "photo-in-several-batches"
	SizeDiffers      errs.Code = "size-differs"
	RoundTrip        errs.Code = "labels-inexact"
	NotClipped       errs.Code = "box-not-clipped"
	TinyBox          errs.Code = "box-tiny"
	DuplicateBox     errs.Code = "box-duplicate"
	ConflictingBox   errs.Code = "box-of-two-classes"
	WholePhoto       errs.Code = "box-covers-photo"
	ClassEmpty       errs.Code = "class-without-boxes"
	ClassFew         errs.Code = "class-with-few-boxes"
	ClassNotHeldOut  errs.Code = "class-not-held-out"
	ClassNamesAlike  errs.Code = "class-names-alike"
	ClassImbalance   errs.Code = "class-imbalance"
	ManyEmpty        errs.Code = "many-photos-without-boxes"
	NearDuplicate    errs.Code = "near-duplicate"
	NearDuplicateGap errs.Code = "near-duplicate-in-both-splits"
	Dark             errs.Code = "photo-dark"
	Bright           errs.Code = "photo-bright"
	Blurred          errs.Code = "photo-blurred"
)

// defaults are each code's severity, and what it means for people.
var defaults = map[errs.Code]struct {
	severity Severity
	message  string
}{
	TooFewTrain:      {Block, "there are too few photos to train on"},
	TooFewVal:        {Block, "too few photos are held out to measure a model on"},
	NoBoxes:          {Block, "no photo has a box: there is nothing to learn"},
	Corrupt:          {Block, "the photo in the data set is missing, damaged or cannot be decoded: drop it again"},
	SizeWrong:        {Block, "the photo's size is not what the version says, so its boxes are off"},
	SplitLeak:        {Block, "the same photo is trained on and held out: the figures would flatter"},
	BatchesShare:     {Warn, "the same photo is in several batches, each with its labels: drop corrected labels under the batch's own name"},
	SizeDiffers:      {Warn, "labels declare another size than the photo has: check that the boxes fit"},
	RoundTrip:        {Block, "boxes read back from the version's label files are not where they were"},
	NotClipped:       {Block, "a box of the version leaves its photo"},
	TinyBox:          {Warn, "the box has a side of hardly any pixels at training size"},
	DuplicateBox:     {Warn, "two boxes of one class lie on each other: one object labelled twice"},
	ConflictingBox:   {Warn, "two boxes of different classes lie on each other: one object, two opinions"},
	WholePhoto:       {Warn, "the box covers nearly all of the photo"},
	ClassEmpty:       {Warn, "the class has no box"},
	ClassFew:         {Warn, "the class has too few boxes to be learnt"},
	ClassNotHeldOut:  {Warn, "the class is in no held-out photo: no figure will speak of it"},
	ClassNamesAlike:  {Warn, "classes have names that differ in case or spaces alone"},
	ClassImbalance:   {Warn, "one class has far more boxes than the median class"},
	ManyEmpty:        {Warn, "many photos have no box: check that they were labelled"},
	NearDuplicate:    {Warn, "photos look alike to a perceptual hash"},
	NearDuplicateGap: {Warn, "photos that look alike are trained on and held out: the figures may flatter"},
	Dark:             {Warn, "the photo is very dark"},
	Bright:           {Warn, "the photo is very bright"},
	Blurred:          {Warn, "the photo is blurred, or shows a plain surface"},
}

// explained tells whether there is a finding of this code: one of this package,
// or one that converting makes.
func explained(code errs.Code) bool {
	_, own := defaults[code]
	return own || dataset.Explained(code)
}

// Example is one place where a finding was made.
type Example struct {
	Photo string       `json:"photo,omitempty"` // path in the version
	Box   *dataset.Box `json:"box,omitempty"`
	Note  string       `json:"note,omitempty"`
}

// Finding is one kind of thing that is wrong or doubtful.
type Finding struct {
	Code     errs.Code `json:"code"`
	Severity Severity  `json:"severity"`
	Message  string    `json:"message"` // what it means and what to do
	Count    int       `json:"count"`
	Examples []Example `json:"examples,omitempty"` // a bounded number
}

// Result is validation.json of a version.
type Result struct {
	Schema       int                              `json:"schema"`
	Dataset      string                           `json:"dataset"` // version id
	Created      time.Time                        `json:"created"`
	Passed       bool                             `json:"passed"`
	Policy       string                           `json:"policy"` // its hash
	Counts       dataset.Counts                   `json:"counts"`
	Splits       map[dataset.Split]dataset.Counts `json:"splits"`
	ConversionPx float64                          `json:"conversion_error_px"` // largest, of a box's round trip through its label file
	Findings     []Finding                        `json:"findings"`
}

// Blocking are the codes for which a version did not pass.
func (r Result) Blocking() []string {
	var codes []string
	for _, f := range r.Findings {
		if f.Severity == Block {
			codes = append(codes, string(f.Code))
		}
	}
	return codes
}

// maxExamples of a finding are kept in the result.
const maxExamples = 20

// findings gathers under a policy.
type findings struct {
	policy Policy
	byCode map[errs.Code]*Finding
}

// add counts a finding; a note in the example tells what the code alone cannot.
func (f *findings) add(code errs.Code, e Example) {
	f.addAs(code, defaults[code].severity, defaults[code].message, 1, e)
}

// addAs counts n times a finding of any code, with examples of them.
func (f *findings) addAs(code errs.Code, severity Severity, message string, n int, examples ...Example) {
	if s, ok := f.policy.Severities[code]; ok {
		severity = s
	}
	if severity == Ignore {
		return
	}
	found := f.byCode[code]
	if found == nil {
		found = &Finding{Code: code, Severity: severity, Message: message}
		f.byCode[code] = found
	}
	found.Count += n
	found.Examples = append(found.Examples, examples[:min(len(examples), maxExamples-len(found.Examples))]...)
}

// sorted is what was found: what blocks first, then by code.
func (f *findings) sorted() []Finding {
	all := []Finding{}
	for _, found := range f.byCode {
		all = append(all, *found)
	}
	slices.SortFunc(all, func(x, y Finding) int {
		if x.Severity != y.Severity {
			return strings.Compare(string(x.Severity), string(y.Severity)) // block before warn
		}
		return strings.Compare(string(x.Code), string(y.Code))
	})
	return all
}
