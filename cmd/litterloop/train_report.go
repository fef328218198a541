package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/litterloop/litterloop/shared/training/embedded"
	"github.com/litterloop/litterloop/shared/training/evaluation"
	"github.com/litterloop/litterloop/shared/training/evaluation/worst"
)

// trainedBoxes counts each class's labelled boxes that were trained on.
func trainedBoxes(d embedded.Data) []int {
	n := make([]int, len(d.Classes))
	for _, s := range d.Train {
		for _, b := range s.Boxes {
			n[b.Class]++
		}
	}
	return n
}

// write keeps the report, its drawings and the worst photos beside the model.
func (c *trainCmd) write(ctx context.Context, r evaluation.Report, m *embedded.Model, d embedded.Data) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the report: %w", err)
	}
	drawings := map[string][]byte{"report.json": append(text, '\n'), "precision-recall.svg": r.Curves(), "confusion.svg": r.Matrix()}
	for i, w := range r.Worst {
		photo, err := d.Val[w.Index].Load(ctx)
		if err != nil {
			return err
		}
		name := fmt.Sprintf("worst-%d.jpg", i+1)
		if drawings[name], err = worst.Draw(photo, m.HeldOut[w.Index], r.Confidence); err != nil {
			return fmt.Errorf("draw photo %s: %w", w.Photo, err)
		}
	}
	for name, data := range drawings {
		if err := os.WriteFile(filepath.Join(c.Out, name), data, 0o666); err != nil {
			return fmt.Errorf("keep the report: %w", err)
		}
	}
	return nil
}
