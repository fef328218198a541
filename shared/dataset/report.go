package dataset

import (
	"slices"
	"strings"

	"github.com/litterloop/litterloop/shared/errs"
)

// Kind says what was done about a finding.
type Kind string

// The kinds of findings of a conversion.
const (
	Quarantined Kind = "quarantined" // left out of the version
	Clipped     Kind = "clipped"     // cut at the photo's edges
	Duplicate   Kind = "duplicate"   // there is another of the same
	Note        Kind = "note"        // nothing was changed
)

// Reason codes of a conversion.
const (
	BoxNotFinite        errs.Code = "box-not-finite"
	BoxEmpty            errs.Code = "box-empty"
	BoxOutside          errs.Code = "box-outside"
	BoxMissing          errs.Code = "box-missing"
	BoxCrowd            errs.Code = "box-crowd"
	ImageUnknown        errs.Code = "annotation-without-image"
	CategoryUnknown     errs.Code = "category-unknown"
	BoxNegativeOrigin   errs.Code = "box-negative-origin"
	BoxBeyondEdge       errs.Code = "box-beyond-edge"
	AnnotationDuplicate errs.Code = "annotation-id-duplicate"
	ImageDuplicate      errs.Code = "image-id-duplicate"
	NameDuplicate       errs.Code = "file-name-duplicate"
	CategoryDuplicate   errs.Code = "category-duplicate"
	PhotoDuplicate      errs.Code = "photo-duplicate"
	NameUnsafe          errs.Code = "name-unsafe"
	NameMissing         errs.Code = "name-missing"
	PhotoNotInLabels    errs.Code = "photo-not-in-labels"
	SizeDiffers         errs.Code = "size-differs"
	OrientationSuspect  errs.Code = "orientation-suspect"
	NameChanged         errs.Code = "name-changed"
	CategoryNameless    errs.Code = "category-nameless"
	LabelsElsewhere     errs.Code = "labels-elsewhere"
	BatchLost           errs.Code = "batch-lost-much"
	LabelRowBad         errs.Code = "label-row-bad"
	LabelFileBad        errs.Code = "label-file-bad"
	LabelFileShared     errs.Code = "label-file-shared"
	MemberUnreadable    errs.Code = "member-unreadable"
	MemberDuplicate     errs.Code = "member-duplicate"
)

// explained tells people what a code means and what to do.
var explained = map[errs.Code]struct {
	kind    Kind
	message string
}{
	BoxNotFinite:        {Quarantined, "the box holds NaN or Infinity: label the object again"},
	BoxEmpty:            {Quarantined, "the box has no width or no height: label the object again"},
	BoxOutside:          {Quarantined, "the box lies wholly outside its photo: check that the labels belong to this photo"},
	BoxMissing:          {Quarantined, "the annotation has no bbox of four numbers and no polygon to take one from"},
	BoxCrowd:            {Quarantined, "the annotation is a crowd region (iscrowd), which names no single object"},
	ImageUnknown:        {Quarantined, "the annotation's image_id is not among the images"},
	CategoryUnknown:     {Quarantined, "the annotation's category_id is not among the categories"},
	BoxNegativeOrigin:   {Clipped, "the box began left of or above its photo"},
	BoxBeyondEdge:       {Clipped, "the box ended beyond its photo's right or lower edge"},
	AnnotationDuplicate: {Duplicate, "several annotations have this id; each is kept"},
	ImageDuplicate:      {Duplicate, "several images have this id; annotations go to the first"},
	NameDuplicate:       {Duplicate, "several images have this file_name; their boxes go to one photo"},
	CategoryDuplicate:   {Duplicate, "several categories have this id or name; they are one class"},
	PhotoDuplicate:      {Duplicate, "the photo is byte for byte another of the batch; the one with the most boxes is kept"},
	NameUnsafe:          {Quarantined, "the file_name leaves the batch (.., an absolute path) or is no name: rename the photo"},
	LabelRowBad:         {Quarantined, "the row has not the columns of a box or polygon, or one is no number: mend the line"},
	LabelFileBad:        {Quarantined, "the label file is no UTF-8 text, or too large: write it again; its photo is used without boxes"},
	LabelFileShared:     {Note, "photos that differ in their ending alone have one label file: each gets its boxes, as in training"},
	MemberUnreadable:    {Quarantined, "the archive's member is a link, encrypted, damaged, or packed in a way that is not read: pack it again"},
	MemberDuplicate:     {Duplicate, "the archive has several members of this name: the last counts"},
	ClassMerged:         {Note, "the class map makes the class part of another"},
	ClassDropped:        {Note, "the class map leaves the class out"},
	ClassMapUnknown:     {Note, "the class map names a class that the labels do not have: check its spelling"},
	NameMissing:         {Quarantined, "the image has no file_name"},
	PhotoNotInLabels:    {Note, "the file is not named by the labels, and is not used"},
	SizeDiffers:         {Note, "the declared size is not the photo's, not even turned: check that the boxes fit"},
	OrientationSuspect:  {Note, "the labels declare the size that the photo has before it is turned as EXIF says: boxes are taken to be of the turned photo, check that they fit"},
	NameChanged:         {Note, "the name is different in the version, so that it works on every file system and has labels of its own"},
	CategoryNameless:    {Note, "the category has no name and is called after its id"},
	LabelsElsewhere:     {Note, "labels are read from " + LabelsFile + " at the top of the batch alone: drop them under that name"},
	BatchLost:           {Quarantined, "so much of the batch cannot be used that nothing of it is: mend what the other codes name and drop it again"},
}

// Explained tells whether converting makes findings of a code.
func Explained(code errs.Code) bool {
	_, ok := explained[code]
	return ok || code == photoUnreadable || code == photoUnsupported || code == photoTooLarge
}

// Codes of photos that cannot be used, as those who look at photos give them.
const (
	photoUnreadable  errs.Code = "photo-unreadable"
	photoUnsupported errs.Code = "photo-unsupported"
	photoTooLarge    errs.Code = "photo-too-large"
)

// photoFault tells people what a code of an unusable photo means; what is wrong
// with each photo is in the finding's examples.
func photoFault(code errs.Code) string {
	switch code {
	case photoUnreadable:
		return "the photo is empty, cut short, damaged or none at all: drop a whole one under the same name"
	case photoUnsupported:
		return "the photo is of a format that is not read: convert it to JPEG, PNG or WebP, and name that in the labels"
	case photoTooLarge:
		return "the photo is too large: scale it down, and its boxes with it"
	}
	return "the photo cannot be used"
}

// Explain is a finding of a code without a count or examples.
func Explain(code errs.Code) Finding {
	if e, ok := explained[code]; ok {
		return Finding{Code: code, Kind: e.kind, Message: e.message}
	}
	return Finding{Code: code, Kind: Quarantined, Message: photoFault(code)}
}

// WithExtra adds to a batch's findings the files that its labels do not name, in
// place of those that findings tell of already. They are no part of the batch's
// record: what is not used makes no other version.
func WithExtra(findings []Finding, names []string) []Finding {
	var r Report
	r.Merge(slices.DeleteFunc(slices.Clone(findings), func(f Finding) bool { return f.Code == PhotoNotInLabels }))
	for _, name := range names {
		r.Add(PhotoNotInLabels, name)
	}
	return r.Findings()
}

// maxExamples of a finding are kept: enough to see the pattern.
const maxExamples = 10

// Report gathers findings. The zero value is ready.
type Report struct {
	byCode map[errs.Code]*Finding
}

// Add counts one finding of a code that this package explains.
func (r *Report) Add(code errs.Code, example string) {
	r.AddAs(explained[code].kind, code, explained[code].message, example)
}

// AddAs counts one finding of any code; the first message for a code stays.
func (r *Report) AddAs(kind Kind, code errs.Code, message, example string) {
	r.Merge([]Finding{{Code: code, Kind: kind, Message: message, Count: 1, Examples: []string{example}}})
}

// Merge counts what was found elsewhere too.
func (r *Report) Merge(found []Finding) {
	if r.byCode == nil {
		r.byCode = map[errs.Code]*Finding{}
	}
	for _, o := range found {
		f := r.byCode[o.Code]
		if f == nil {
			f = &Finding{Code: o.Code, Kind: o.Kind, Message: o.Message}
			r.byCode[o.Code] = f
		}
		f.Count += o.Count
		f.Examples = append(f.Examples, o.Examples[:min(len(o.Examples), maxExamples-len(f.Examples))]...)
	}
}

// Findings are what was gathered, in code order.
func (r *Report) Findings() []Finding {
	var all []Finding
	for _, f := range r.byCode {
		all = append(all, *f)
	}
	slices.SortFunc(all, func(x, y Finding) int { return strings.Compare(string(x.Code), string(y.Code)) })
	return all
}
