package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
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
	Shard      string `help:"Make one part of COCO labels without photos, such as 0/8, beside others that see the same OUT; the last makes the whole. Task: which part is as Cloud Run tells the tasks of a job." placeholder:"I/N|task"`
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
	o := directory.Options{Policy: policy.Dataset, LabelsOnly: c.LabelsOnly, Progress: func(what string, done, total int) {
		stage.Set(done, total, "%s, %d of %d", what, done, total)
	}}
	var s directory.Summary
	var err error
	made := true
	if c.Shard != "" {
		s, made, err = c.shard(ctx, o)
	} else {
		s, err = directory.Convert(ctx, c.Source, c.Out, o)
	}
	if err != nil {
		stage.Fail(err)
		board.Close()
		return err
	}
	stage.Done("%d images, %d boxes", s.Images, s.Boxes)
	board.Close()
	if !made || s.Images == 0 {
		return g.answer(map[string]any{"shard": c.Shard, "merged": made}, func(w io.Writer) {
			fmt.Fprintf(w, "The part is made; the last of the parts makes %s.\n", c.Out)
		})
	}
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

// shard makes one part, and the whole where it is the last.
func (c *dataConvertCmd) shard(ctx context.Context, o directory.Options) (directory.Summary, bool, error) {
	index, count, ok := strings.Cut(c.Shard, "/")
	if c.Shard == "task" {
		index, count, ok = os.Getenv("CLOUD_RUN_TASK_INDEX"), os.Getenv("CLOUD_RUN_TASK_COUNT"), true
	}
	shard, err1 := strconv.Atoi(index)
	n, err2 := strconv.Atoi(count)
	if !ok || err1 != nil || err2 != nil || shard < 0 || shard >= n {
		return directory.Summary{}, false, fmt.Errorf("--shard %s (part %q of %q): give I/N with I from 0 to N-1, or task within a Cloud Run job", c.Shard, index, count)
	}
	return directory.ConvertShard(ctx, c.Source, c.Out, shard, n, o)
}

func printFindings(w io.Writer, findings []dataset.Finding) {
	t := tabwriter.NewWriter(w, 2, 4, 2, ' ', 0)
	defer t.Flush()
	for _, f := range findings {
		fmt.Fprintf(t, "  %s\t%s\t%d\t%s\n", f.Kind, f.Code, f.Count, f.Message)
	}
}
