package main

import (
	"context"
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
	drawings, err := worst.Files(ctx, r, m.HeldOut, func(ctx context.Context, i int) ([]byte, error) { return d.Val[i].Load(ctx) })
	if err != nil {
		return err
	}
	for name, data := range drawings {
		if err := os.WriteFile(filepath.Join(c.Out, name), data, 0o666); err != nil {
			return fmt.Errorf("keep the report: %w", err)
		}
	}
	return nil
}
