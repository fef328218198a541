package drift

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/errs"
)

// LatestDocument is the Summary of the newest report.
const LatestDocument = "reports/latest.json"

// Store keeps reports in the predictions bucket under reports/ID/.
type Store struct{ bucket blob.Bucket }

// NewStore returns the reports of predictions bucket b.
func NewStore(b blob.Bucket) *Store { return &Store{b} }

// Dir is where the objects of report id lie.
func Dir(id string) string { return "reports/" + id + "/" }

// Latest returns the newest report's summary; errs.NotFound before the first.
func (s *Store) Latest(ctx context.Context) (Summary, error) {
	var l Summary
	if _, err := blob.ReadJSON(ctx, s.bucket, LatestDocument, &l); err != nil {
		return Summary{}, fmt.Errorf("newest drift report: %w", err)
	}
	return l, nil
}

// Get returns a report; errs.NotFound when it was never made.
func (s *Store) Get(ctx context.Context, id string) (*Report, error) {
	var r Report
	if _, err := blob.ReadJSON(ctx, s.bucket, Dir(id)+"report.json", &r); err != nil {
		return nil, fmt.Errorf("drift report %s: %w", id, err)
	}
	return &r, nil
}

// Save keeps a report and its page, and returns what is kept: the first report
// of an ID stays. report.json is written last, so where it exists the report is
// complete.
func (s *Store) Save(ctx context.Context, r *Report, page []byte) (_ *Report, err error) {
	defer errs.Wrap(&err, "save drift report %s", r.ID)
	dir := Dir(r.ID)
	if _, err := s.bucket.Write(ctx, dir+"report.html", bytes.NewReader(page), blob.WriteOptions{IfGeneration: blob.Any, ContentType: "text/html; charset=utf-8"}); err != nil {
		return nil, err
	}
	if len(r.ToLabel) > 0 {
		if _, err := blob.WriteJSON(ctx, s.bucket, dir+"to-label.json", r.ToLabel, blob.Any); err != nil {
			return nil, err
		}
	}
	_, err = blob.WriteJSON(ctx, s.bucket, dir+"report.json", r, blob.Absent)
	if errors.Is(err, errs.Conflict) {
		return s.Get(ctx, r.ID)
	}
	return r, err
}

// SetLatest makes r the newest report, unless a newer one is.
func (s *Store) SetLatest(ctx context.Context, r *Report) (Summary, error) {
	summary := s.Summarise(r)
	_, err := blob.Update(ctx, s.bucket, LatestDocument, func(l *Summary) error {
		if l.ID == r.ID || l.Window.To.After(r.Window.To) {
			return blob.ErrUnchanged
		}
		*l = summary
		return nil
	})
	if err != nil {
		return Summary{}, fmt.Errorf("make drift report %s the newest: %w", r.ID, err)
	}
	return summary, nil
}

// Summarise is what SetLatest keeps of a report.
func (s *Store) Summarise(r *Report) Summary {
	at := "gs://" + s.bucket.Name() + "/" + Dir(r.ID)
	l := Summary{
		ID: r.ID, Created: r.Created, Model: r.Model, ModelVersion: r.ModelVersion, Content: r.Content,
		Window: r.Window, Reference: r.Reference, Verdict: r.Verdict, Log: r.Log, Share: r.Evidently.Share,
		Columns: []string{}, Moved: r.Moved(), Report: at + "report.json", HTML: at + "report.html",
	}
	for _, c := range r.Evidently.Columns {
		if c.Drifted {
			l.Columns = append(l.Columns, c.Name)
		}
	}
	if len(r.ToLabel) > 0 {
		l.ToLabel, l.ToLabelCount = at+"to-label.json", len(r.ToLabel)
	}
	return l
}
