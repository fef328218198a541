package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"

	"github.com/litterloop/litterloop/cmd/litterloop/progress"
	"github.com/litterloop/litterloop/shared/config"
	"github.com/litterloop/litterloop/shared/dataset"
	"github.com/litterloop/litterloop/shared/dataset/directory"
)

type dataConvertCmd struct {
	Source     string `arg:"" help:"COCO labels, a data.yaml (YOLO), a zip or tar archive, or a directory with one of them." type:"path"`
	Out        string `arg:"" help:"New directory for images/, labels/ and data.yaml." type:"path"`
	LabelsOnly bool   `help:"Leave the photos alone: sizes are what the labels declare."`
	Policy     string `help:"Policy file; its dataset part counts." type:"existingfile"`
}

// Run converts files alone; what becomes of each label is told by reason code.
func (c *dataConvertCmd) Run(ctx context.Context, g *globals) error {
	policy := config.Default()
	if c.Policy != "" {
		text, err := readPolicy(c.Policy)
		if err != nil {
			return err
		}
		if policy, err = config.Parse(text); err != nil {
			return err
		}
	}
	board := progress.New(g.stderr)
	stage := board.Stage("convert")
	s, err := directory.Convert(ctx, c.Source, c.Out, directory.Options{Policy: policy.Dataset, LabelsOnly: c.LabelsOnly, Progress: func(what string, done, total int) {
		stage.Set(done, total, "%s, %d of %d", what, done, total)
	}})
	if err != nil {
		stage.Fail(err)
		board.Close()
		return err
	}
	stage.Done("%d images, %d boxes", s.Images, s.Boxes)
	board.Close()
	return g.answer(s, func(w io.Writer) {
		fmt.Fprintf(w, "%d images, %d boxes, %d classes in %s\n", s.Images, s.Boxes, s.Classes, c.Out)
		if s.LabelsOnly && !c.LabelsOnly {
			fmt.Fprintln(w, "No photo is beside the labels: only labels were made, from the sizes that they declare.")
		}
		for _, split := range slices.Sorted(maps.Keys(s.Splits)) {
			fmt.Fprintf(w, "%s: %d images, %d boxes\n", split, s.Splits[split].Photos, s.Splits[split].Boxes)
		}
		printFindings(w, s.Findings)
	})
}

func printFindings(w io.Writer, findings []dataset.Finding) {
	t := tabwriter.NewWriter(w, 2, 4, 2, ' ', 0)
	defer t.Flush()
	for _, f := range findings {
		fmt.Fprintf(t, "  %s\t%s\t%d\t%s\n", f.Kind, f.Code, f.Count, f.Message)
	}
}
