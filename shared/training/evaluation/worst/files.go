package worst

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/litterloop/litterloop/shared/training/evaluation"
)

// Files are a report as people look at it, by file names: its figures, its
// drawings, and the photos on which most went wrong. open returns the encoded
// bytes of the i-th of the photos that were measured.
func Files(ctx context.Context, r evaluation.Report, photos []evaluation.Photo, open func(ctx context.Context, i int) ([]byte, error)) (map[string][]byte, error) {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode the report: %w", err)
	}
	files := map[string][]byte{"report.json": append(text, '\n'), "precision-recall.svg": r.Curves(), "confusion.svg": r.Matrix()}
	for i, w := range r.Worst {
		photo, err := open(ctx, w.Index)
		if err != nil {
			return nil, err
		}
		if files[fmt.Sprintf("worst-%d.jpg", i+1)], err = Draw(photo, photos[w.Index], r.Confidence); err != nil {
			return nil, fmt.Errorf("draw photo %s: %w", w.Photo, err)
		}
	}
	return files, nil
}
