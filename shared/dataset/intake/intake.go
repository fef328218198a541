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
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/dataset"
	"github.com/litterloop/litterloop/shared/dataset/coco"
	"github.com/litterloop/litterloop/shared/dataset/inspect"
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
}

// New returns an intake from one bucket to another of the same back end.
func New(incoming, datasets blob.Bucket, o Options) *Intake {
	if o.Inspect == nil {
		o.Inspect = inspect.Photo
	}
	return &Intake{incoming: incoming, datasets: datasets, o: o}
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
	if name == dataset.LabelsFile {
		s, err = in.takeLabels(ctx, batch)
	} else {
		s, err = in.takePhoto(ctx, batch, name)
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
		astray := s.LabelsMD5 == "" && len(s.Findings) == 0 && path.Ext(name) == ".json"
		if s.State != "" && !astray {
			return blob.ErrUnchanged
		}
		s.State = dataset.Waiting
		if astray {
			var r dataset.Report
			r.Add(dataset.LabelsElsewhere, name)
			s.Findings = r.Findings()
		}
		return nil
	})
	if err != nil || s.State == dataset.Waiting || s.Record == "" {
		return s, err
	}
	known, err := in.recorded(ctx, s)
	if err != nil {
		return s, err
	}
	md5, named := known[composed(name)]
	if !named {
		return in.noteExtra(ctx, s, known)
	}
	a, err := in.incoming.Stat(ctx, batch+"/"+name)
	if errors.Is(err, errs.NotFound) || err == nil && a.MD5 == md5 {
		return s, nil
	}
	s.State = dataset.Waiting
	return s, err
}

// takeLabels makes the live labels the batch's labels.
func (in *Intake) takeLabels(ctx context.Context, batch string) (dataset.BatchStatus, error) {
	r, a, err := in.incoming.Open(ctx, batch+"/"+dataset.LabelsFile, 0, -1)
	if errors.Is(err, errs.NotFound) { // deleted since
		in.o.Log.InfoContext(ctx, "labels are gone", "batch", batch)
		return in.update(ctx, batch, func(*dataset.BatchStatus) error { return blob.ErrUnchanged })
	}
	if err != nil {
		return dataset.BatchStatus{}, err
	}
	defer r.Close()
	md5 := cmp.Or(a.MD5, fmt.Sprintf("generation-%d", a.Generation)) // composed objects have no MD5
	var s dataset.BatchStatus
	if _, err := blob.ReadJSON(ctx, in.datasets, dataset.StatusObject(batch), &s); err == nil && s.LabelsMD5 == md5 && (s.State != dataset.Rejected || s.LabelsGeneration >= a.Generation) {
		return s, nil // known; what was rejected is judged again when it is dropped again
	} else if err != nil && !errors.Is(err, errs.NotFound) {
		return s, err
	}
	f, err := coco.Read(r, coco.Limits{Images: in.o.Policy.MaxImages, Annotations: in.o.Policy.MaxAnnotations, Bytes: in.o.Policy.MaxLabelBytes})
	var l dataset.Labels
	if err == nil {
		l, err = dataset.FromCOCO(f)
	}
	if code, permanent := errs.Reason(err); permanent {
		return in.reject(ctx, batch, a.Generation, md5, code, err)
	} else if err != nil {
		return s, err
	}
	if err := in.put(ctx, dataset.LabelRecordObject(batch, md5), l); err != nil {
		return s, err
	}
	return in.update(ctx, batch, func(s *dataset.BatchStatus) error {
		if s.LabelsGeneration >= a.Generation {
			return blob.ErrUnchanged
		}
		s.State, s.LabelsMD5, s.LabelsGeneration = dataset.Waiting, md5, a.Generation
		s.Photos, s.Missing, s.Examples, s.Findings = len(l.Photos), len(l.Photos), nil, nil
		return nil
	})
}

// proceed converts the batch if nothing is missing, or else notes what is.
// arrived is the object that the event told of.
func (in *Intake) proceed(ctx context.Context, s dataset.BatchStatus, arrived string) (dataset.BatchStatus, error) {
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
