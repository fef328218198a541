package dataset

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/errs"
)

// BatchState says how far a batch has come.
type BatchState string

// The states of a batch.
const (
	Waiting   BatchState = "waiting"   // for its labels, or for photos that they name
	Converted BatchState = "converted" // a version holds it; Findings tell what was left out
	Rejected  BatchState = "rejected"  // no version holds it; Findings tell why
)

// Finding is one kind of thing that was found in a batch or version.
type Finding struct {
	Code     errs.Code `json:"code"`
	Kind     Kind      `json:"kind"`
	Message  string    `json:"message"` // what it means and what to do
	Count    int       `json:"count"`
	Examples []string  `json:"examples,omitempty"` // a bounded number of them
}

// BatchStatus is the document batches/BATCH/status.json.
type BatchStatus struct {
	Schema           int        `json:"schema"`
	Batch            string     `json:"batch"`
	State            BatchState `json:"state"`
	LabelsMD5        string     `json:"labels_md5,omitempty"` // empty: the labels have not arrived
	LabelsGeneration int64      `json:"labels_generation,omitempty"`
	// Sources are what the labels are read from, in name order. LabelsMD5 stands
	// for all of it, LabelsGeneration is the largest of theirs.
	Sources  []LabelSource `json:"sources,omitempty"`
	Lacks    string        `json:"lacks,omitempty"`  // what labels cannot be read without, for people
	Awaits   string        `json:"awaits,omitempty"` // the object of the batch that this is, where it is one
	Photos   int           `json:"photos"`           // named by the labels
	Missing  int           `json:"missing"`          // of them, not yet arrived
	Examples []string      `json:"missing_examples,omitempty"`
	Record   string        `json:"record,omitempty"` // hash of the batch record that was accepted
	Newest   int64         `json:"newest,omitempty"` // largest generation it was made from
	Version  string        `json:"version,omitempty"`
	Counts   Counts        `json:"counts"`             // accepted
	Findings []Finding     `json:"findings,omitempty"` // in code order
	Updated  time.Time     `json:"updated"`
}

// LabelSource is an object of a batch that its labels are read from.
type LabelSource struct {
	Name       string `json:"name"` // below the batch
	MD5        string `json:"md5"`  // where the object has none, its CRC32C and size
	Generation int64  `json:"generation"`
}

// WaitsFor says what a waiting batch lacks, for people.
func (s BatchStatus) WaitsFor() string {
	switch {
	case s.State != Waiting:
		return ""
	case s.Lacks != "":
		return s.Lacks
	case s.LabelsMD5 == "":
		return "labels: " + s.Batch + "/" + LabelsFile
	default:
		names := s.Examples[:min(len(s.Examples), maxNamed)]
		more := ""
		if s.Missing > len(names) {
			more = ", …"
		}
		return fmt.Sprintf("%d of %d photos: %s%s", s.Missing, s.Photos, strings.Join(names, ", "), more)
	}
}

// maxNamed missing photos are named to people in a line.
const maxNamed = 5

// Refused tells whether something of the batch was left out or all of it was
// rejected, of which its RejectedObject tells.
func (s BatchStatus) Refused() bool {
	return s.State == Rejected || slices.ContainsFunc(s.Findings, func(f Finding) bool { return f.Kind == Quarantined })
}

// LabelsFile is a batch's COCO labels, under BATCH/ in the incoming bucket.
const LabelsFile = "annotations.json"

// MarkerFile under BATCH/ says that YOLO labels of the batch are all there: they
// are many files, of which none names the others. It is dropped last; its content
// does not matter. Archives and what `dvc push` brings need none.
const MarkerFile = "_complete"

// Batches returns the status of every batch, in name order.
func Batches(ctx context.Context, b blob.Bucket) ([]BatchStatus, error) {
	var all []BatchStatus
	for a, err := range b.List(ctx, batchesPrefix) {
		if err != nil {
			return nil, err
		}
		if !strings.HasSuffix(a.Name, "/"+statusFile) {
			continue
		}
		var s BatchStatus
		if _, err := blob.ReadJSON(ctx, b, a.Name, &s); err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}
