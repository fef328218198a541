package intake

import (
	"context"
	"time"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/dataset"
)

// A status is written at most so often, but when the number of missing photos
// has halved, and for each of the first or last few: a bucket takes about one
// write a second to one object, and photos come faster.
const (
	notedEvery  = 2 * time.Second
	alwaysNoted = 10
	maxMissing  = 20
)

// noteMissing notes in a batch's status the photos that it lacks.
func (in *Intake) noteMissing(ctx context.Context, s dataset.BatchStatus, names []string) (dataset.BatchStatus, error) {
	n := len(names)
	fresh := in.o.Now().Sub(s.Updated) < notedEvery
	if len(s.Examples) > 0 && (n >= s.Missing || n > alwaysNoted && n > s.Missing/2 && fresh) {
		return s, nil
	}
	return in.update(ctx, s.Batch, func(now *dataset.BatchStatus) error {
		if now.LabelsMD5 != s.LabelsMD5 || now.State != dataset.Waiting || len(now.Examples) > 0 && now.Missing <= n {
			return blob.ErrUnchanged
		}
		now.Missing, now.Examples = n, names[:min(n, maxMissing)]
		return nil
	})
}

// noteGone notes that photos which a batch had are missing, because they were
// deleted before it was converted.
func (in *Intake) noteGone(ctx context.Context, s dataset.BatchStatus, names []string) (dataset.BatchStatus, error) {
	return in.update(ctx, s.Batch, func(now *dataset.BatchStatus) error {
		if now.LabelsMD5 != s.LabelsMD5 || now.State != dataset.Waiting {
			return blob.ErrUnchanged
		}
		now.Missing, now.Examples = len(names), names[:min(len(names), maxMissing)]
		return nil
	})
}

// noteExtra notes files that came after the batch of s was settled and that its
// labels, of the photos known, do not name: new labels may yet come. Of many at
// once the last may stay uncounted.
func (in *Intake) noteExtra(ctx context.Context, s dataset.BatchStatus, known *recorded) (dataset.BatchStatus, error) {
	noted := 0
	for _, f := range s.Findings {
		if f.Code == dataset.PhotoNotInLabels {
			noted = f.Count
		}
	}
	if noted > alwaysNoted && in.o.Now().Sub(s.Updated) < notedEvery {
		return s, nil
	}
	var extra []string
	prefix := s.Batch + "/"
	for a, err := range in.incoming.List(ctx, prefix) {
		if err != nil {
			return s, err
		}
		name := a.Name[len(prefix):]
		if _, named := known.find(name); !named && isExtra(s, name) {
			extra = append(extra, name)
		}
	}
	if len(extra) == noted {
		return s, nil
	}
	return in.update(ctx, s.Batch, func(now *dataset.BatchStatus) error {
		if now.Record != s.Record || now.State == dataset.Waiting {
			return blob.ErrUnchanged
		}
		now.Findings = dataset.WithExtra(now.Findings, extra)
		return nil
	})
}
