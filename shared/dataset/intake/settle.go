package intake

import (
	"context"
	"errors"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/dataset"
	"github.com/litterloop/litterloop/shared/errs"
)

// reject settles a batch whose labels cannot be read.
func (in *Intake) reject(ctx context.Context, batch string, sources []dataset.LabelSource, code errs.Code, fault error) (dataset.BatchStatus, error) {
	s, err := in.update(ctx, batch, func(*dataset.BatchStatus) error { return blob.ErrUnchanged })
	if err != nil {
		return s, err
	}
	if s.LabelsGeneration >= generation(sources) {
		return s, nil
	}
	var names []string
	for _, source := range sources {
		names = append(names, source.Name)
	}
	s.Batch, s.Sources, s.LabelsMD5, s.LabelsGeneration = batch, sources, in.labelsKey(sources), generation(sources)
	return in.settle(ctx, s, dataset.BatchStatus{
		State: dataset.Rejected, Version: s.Version,
		Findings: []dataset.Finding{{Code: code, Kind: dataset.Quarantined, Message: fault.Error(), Count: 1, Examples: names}},
	})
}

// settle tells whoever dropped the batch what became of it, and records it last:
// what is recorded is not done again. of is the state that was settled.
func (in *Intake) settle(ctx context.Context, of, done dataset.BatchStatus) (dataset.BatchStatus, error) {
	done.Schema, done.Batch, done.LabelsMD5, done.LabelsGeneration, done.Updated = 1, of.Batch, of.LabelsMD5, of.LabelsGeneration, in.o.Now().UTC()
	done.Sources = of.Sources
	object := dataset.RejectedObject(of.Batch)
	if done.Refused() {
		if in.o.Settled != nil {
			if err := in.o.Settled(ctx, done); err != nil {
				return of, err
			}
		}
		if _, err := blob.WriteJSON(ctx, in.incoming, object, done, blob.Any); err != nil {
			return of, err
		}
	} else if err := in.incoming.Delete(ctx, object, blob.Any); err != nil && !errors.Is(err, errs.NotFound) {
		return of, err
	}
	in.memory.forget(of)
	return in.update(ctx, of.Batch, func(s *dataset.BatchStatus) error {
		if s.LabelsGeneration > done.LabelsGeneration || s.LabelsGeneration == done.LabelsGeneration && s.Newest > done.Newest {
			return blob.ErrUnchanged // another process is further
		}
		*s = done
		return nil
	})
}

// forget drops what is remembered of a batch's missing photos.
func (m *memory) forget(s dataset.BatchStatus) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.waits, dataset.LabelRecordObject(s.Batch, s.LabelsMD5))
}
