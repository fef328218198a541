// Package intake takes batches from the incoming bucket into the datasets
// bucket. It is told of every object that arrives, in any order and any number
// of times, and makes exactly one version of each complete batch.
//
// What happens is written down in this order, so that a process that dies
// anywhere leaves nothing half done, and the next to handle the event goes on:
// the parsed labels, the status "waiting", the photos' content, the batch's
// record, the version's files, the head (by compare-and-swap: now the version
// exists), the version's summary, the rejected/ object, and the final status.
package intake

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/dataset"
	"github.com/litterloop/litterloop/shared/dataset/inspect"
	"github.com/litterloop/litterloop/shared/dataset/labelformat"
	"github.com/litterloop/litterloop/shared/errs"
)

// Options of New. Now and Log must be set.
type Options struct {
	Policy dataset.Policy
	Now    func() time.Time
	Log    *slog.Logger
	// Inspect finds out about a photo's bytes; nil is inspect.Photo.
	Inspect func(data []byte) dataset.Seen
	// Settled, when set, is told of every batch that was rejected or had
	// something quarantined, before that is recorded: it may be told again, and
	// its error stops the batch, to be taken up with the event's next delivery.
	Settled func(context.Context, dataset.BatchStatus) error
}

// Intake is safe for concurrent use, by several processes too.
type Intake struct {
	incoming, datasets blob.Bucket
	o                  Options
	locks              locks
	memory             memory
	partMembers        int
}

// New returns an intake from one bucket to another of the same back end.
func New(incoming, datasets blob.Bucket, o Options) *Intake {
	if o.Inspect == nil {
		o.Inspect = inspect.Photo
	}
	return &Intake{incoming: incoming, datasets: datasets, o: o, partMembers: partMembers}
}

// Take is told that an object of the incoming bucket was written. It returns the
// state of its batch after. Errors: "object-outside-batch" and "name-unsafe"
// (permanent) for an object that no batch can hold; others are worth repeating.
// A batch that is refused is no error: its status says so.
func (in *Intake) Take(ctx context.Context, object string) (s dataset.BatchStatus, err error) {
	defer errs.Wrap(&err, "take in %.200q", object)
	batch, name, err := place(object)
	if code, permanent := errs.Reason(err); permanent {
		if told := in.stray(ctx, dataset.Stray{Schema: 1, Object: object, Code: code, Message: err.Error()}); told != nil {
			return s, told // which is transient: nothing is let go before it was told of
		}
		return s, err
	}
	if name == "" {
		return s, nil
	}
	unlock, err := in.locks.lock(ctx, batch)
	if err != nil {
		return s, err
	}
	defer unlock()
	if roleOf(name) == file {
		s, err = in.takePhoto(ctx, batch, name)
	} else {
		s, err = in.takeLabels(ctx, batch, name)
	}
	if err != nil || s.State != dataset.Waiting || s.LabelsMD5 == "" {
		return s, err
	}
	return in.proceed(ctx, s, name)
}

// place splits an object's name into its batch and its name in there, "" for an
// object that there is nothing to do about.
func place(object string) (batch, name string, err error) {
	batch, name, ok := strings.Cut(object, "/")
	switch {
	case !ok:
		return "", "", errs.Permanentf("object-outside-batch", "it lies in no batch: drop photos and %s together in a directory of their own", dataset.LabelsFile)
	case name == "" || strings.HasSuffix(name, "/"): // a directory's placeholder
		return "", "", nil
	case batch+"/" == dataset.RejectedPrefix && !strings.Contains(name, "/"): // ours
		return "", "", nil
	case batch+"/" == dataset.RejectedPrefix:
		return "", "", errs.Permanentf(dataset.NameUnsafe, "no batch can be called %q, where rejections lie: give it another name", batch)
	case batch == "" || batch == "." || batch == ".." || len(batch) > maxBatchName:
		return "", "", errs.Permanentf(dataset.NameUnsafe, "%.100q is no name for a batch: use 1 to %d bytes, not . or ..", batch, maxBatchName)
	}
	return batch, name, nil
}

// maxBatchName leaves room in the 1,024 bytes of an object's name.
const maxBatchName = 400

// stray tells whoever dropped an object that no batch can hold it.
func (in *Intake) stray(ctx context.Context, s dataset.Stray) error {
	_, err := blob.WriteJSON(ctx, in.incoming, dataset.StrayObject(s.Object), s, blob.Absent)
	if errors.Is(err, errs.Conflict) {
		return nil
	}
	return err
}

// takePhoto answers for a photo without listing or parsing anything: nothing is
// to be done before the labels came, nor after the batch was converted unless
// the photo is a new one.
func (in *Intake) takePhoto(ctx context.Context, batch, name string) (dataset.BatchStatus, error) {
	s, err := in.update(ctx, batch, func(s *dataset.BatchStatus) error {
		waits := s.State == "" || s.State == dataset.Waiting && s.LabelsMD5 == ""
		astray := waits && len(s.Findings) == 0 && path.Ext(name) == ".json" && name != "notes.json" // which Label Studio writes
		unmarked := waits && s.Lacks == "" && labelformat.IsYOLORoot(name)
		if s.State != "" && !astray && !unmarked {
			return blob.ErrUnchanged
		}
		s.State = dataset.Waiting
		if unmarked {
			s.Lacks = batch + "/" + dataset.MarkerFile + ": drop it when all of the YOLO labels are there"
		}
		if astray {
			var r dataset.Report
			r.Add(dataset.LabelsElsewhere, name)
			s.Findings = r.Findings()
		}
		return nil
	})
	if err != nil {
		return s, err
	}
	if name == s.Awaits || s.LabelsMD5 == "" && has(s.Sources, marker) && (labelformat.IsYOLORoot(name) || name == "obj.names") {
		return in.takeLabels(ctx, batch, name)
	}
	if s.State == dataset.Waiting || s.Record == "" {
		return s, err
	}
	known, err := in.recorded(ctx, s)
	if err != nil {
		return s, err
	}
	md5, named := known.find(name)
	if !named {
		if !isExtra(s, name) {
			return s, nil
		}
		return in.noteExtra(ctx, s, known)
	}
	a, err := in.incoming.Stat(ctx, batch+"/"+name)
	if errors.Is(err, errs.NotFound) || err == nil && a.MD5 == md5 {
		return s, nil
	}
	s.State = dataset.Waiting
	return s, err
}

// proceed converts the batch if nothing is missing, or else notes what is.
// arrived is the object that the event told of.
func (in *Intake) proceed(ctx context.Context, s dataset.BatchStatus, arrived string) (dataset.BatchStatus, error) {
	if s.Record != "" && s.Missing == 0 { // settled before: a photo changed, and convert finds out about the others
		return in.convert(ctx, s)
	}
	w, err := in.waiting(ctx, s)
	if err != nil {
		return s, err
	}
	if err := w.strike(ctx, in.incoming, arrived); err != nil {
		return s, err
	}
	if len(w.missing) == 0 {
		return in.convert(ctx, s)
	}
	return in.noteMissing(ctx, s, slices.Sorted(maps.Keys(w.missing)))
}

// update changes a batch's status document and stamps it.
func (in *Intake) update(ctx context.Context, batch string, change func(*dataset.BatchStatus) error) (dataset.BatchStatus, error) {
	return blob.Update(ctx, in.datasets, dataset.StatusObject(batch), func(s *dataset.BatchStatus) error {
		if err := change(s); err != nil {
			return err
		}
		s.Schema, s.Batch, s.Updated = 1, batch, in.o.Now().UTC()
		return nil
	})
}
