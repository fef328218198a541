package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/tracking"
)

type runsCmd struct {
	List    runsListCmd    `cmd:"" default:"withargs" help:"List runs, chosen and ordered as MLflow's searches do."`
	Show    runsShowCmd    `cmd:"" help:"Show a run: parameters, tags, newest metrics."`
	Compare runsCompareCmd `cmd:"" help:"Set runs side by side: parameters that differ, metrics with the best marked."`
	Delete  runsDeleteCmd  `cmd:"" help:"Delete runs; they can be restored."`
	Restore runsRestoreCmd `cmd:"" help:"Restore deleted runs."`
	Export  runsExportCmd  `cmd:"" help:"Copy runs to a directory or a tracking server."`
	Import  runsImportCmd  `cmd:"" help:"Copy runs from a directory or a tracking server."`
}

// tracked calls do with the deployment's runs.
func (g *globals) tracked(ctx context.Context, do func(*tracking.Store) error) error {
	cl, err := g.connect(ctx)
	if err != nil {
		return err
	}
	defer cl.Close()
	return do(tracking.New(cl.Bucket(cl.Models), time.Now))
}

type runsListCmd struct {
	Experiment []string `help:"Only of experiments of these names or ids." placeholder:"NAME"`
	Filter     string   `help:"Only those that match, in MLflow's grammar: \"metrics.mAP50 > 0.5 and params.seed = '1'\"."`
	Order      []string `help:"Order, such as \"metrics.mAP50 DESC\"; the newest first by default." sep:"none" placeholder:"KEY"`
	Max        int      `help:"List at most so many." default:"100"`
	Deleted    bool     `help:"List those that were deleted."`
}

// Run lists runs.
func (c *runsListCmd) Run(ctx context.Context, g *globals) error {
	return g.tracked(ctx, func(s *tracking.Store) error {
		q := tracking.Query{Filter: c.Filter, Order: c.Order, View: tracking.ActiveOnly, Page: tracking.Page{Max: c.Max}}
		if c.Deleted {
			q.View = tracking.DeletedOnly
		}
		known, err := s.Experiments(ctx)
		if err != nil {
			return err
		}
		if q.Experiments, err = experimentIDs(known, c.Experiment); err != nil {
			return err
		}
		runs, next, err := s.SearchRuns(ctx, q)
		if err != nil {
			return err
		}
		return g.answer(map[string]any{"runs": runs, "more": next != ""}, func(w io.Writer) {
			if len(runs) == 0 {
				fmt.Fprintln(w, "no run")
				return
			}
			t := tabwriter.NewWriter(w, 2, 4, 2, ' ', 0)
			defer t.Flush()
			fmt.Fprintln(t, "RUN\tNAME\tEXPERIMENT\tSTATUS\tSTARTED\tmAP50")
			for _, r := range runs {
				score := ""
				if m, ok := r.Metrics["mAP50"]; ok {
					score = number(m.Value)
				}
				fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", r.ID, r.Name, known[r.Experiment].Name, r.Status, clock(r.Start), score)
			}
			if next != "" {
				fmt.Fprintf(t, "There are more: --max %d\n", 10*c.Max)
			}
		})
	})
}

// experimentIDs are the ids of experiments given by name or id; all of them when
// none is given.
func experimentIDs(known map[string]tracking.Experiment, given []string) ([]string, error) {
	if len(given) == 0 {
		return slices.Sorted(maps.Keys(known)), nil
	}
	byName := map[string]string{}
	for id, e := range known {
		byName[e.Name] = id
	}
	var ids []string
	for _, name := range given {
		id, ok := byName[name]
		if !ok {
			if id = name; known[id].ID == "" {
				return nil, fmt.Errorf("no experiment is called %q; there are: %q", name, slices.Sorted(maps.Keys(byName)))
			}
		}
		ids = append(ids, id)
	}
	return ids, nil
}

func number(v float64) string { return strconv.FormatFloat(v, 'g', 5, 64) }

// clock shows Unix milliseconds.
func clock(ms int64) string {
	if ms == 0 {
		return ""
	}
	return time.UnixMilli(ms).Local().Format(time.DateTime)
}

type runsShowCmd struct {
	ID string `arg:"" name:"run" help:"Id of the run."`
}

// Run shows a run.
func (c *runsShowCmd) Run(ctx context.Context, g *globals) error {
	return g.tracked(ctx, func(s *tracking.Store) error {
		r, err := s.Get(ctx, c.ID)
		if err != nil {
			return absent(err, "run", c.ID)
		}
		return g.answer(r, func(w io.Writer) {
			t := tabwriter.NewWriter(w, 2, 4, 2, ' ', 0)
			defer t.Flush()
			fmt.Fprintf(t, "run\t%s\nname\t%s\nexperiment\t%s\nstatus\t%s, %s\nstarted\t%s\nended\t%s\nfiles\t%s\n",
				r.ID, r.Name, r.Experiment, r.Status, r.Lifecycle, clock(r.Start), clock(r.End), r.ArtifactURI)
			for _, key := range slices.Sorted(maps.Keys(r.Metrics)) {
				fmt.Fprintf(t, "metric\t%s\t%s\tstep %d\n", key, number(r.Metrics[key].Value), r.Metrics[key].Step)
			}
			for _, key := range slices.Sorted(maps.Keys(r.Params)) {
				fmt.Fprintf(t, "param\t%s\t%s\n", key, r.Params[key])
			}
			for _, key := range slices.Sorted(maps.Keys(r.Tags)) {
				fmt.Fprintf(t, "tag\t%s\t%.80s\n", key, r.Tags[key])
			}
		})
	})
}

// absent says what is not there.
func absent(err error, what, name string) error {
	if errors.Is(err, errs.NotFound) {
		return fmt.Errorf("no %s %s; `litterloop %ss list` has those that are: %w", what, name, what, err)
	}
	return err
}

type runsCompareCmd struct {
	Runs []string `arg:"" help:"Ids of the runs."`
}

// Run compares runs.
func (c *runsCompareCmd) Run(ctx context.Context, g *globals) error {
	if len(c.Runs) < 2 {
		return errors.New("one run is nothing to compare: name two or more")
	}
	return g.tracked(ctx, func(s *tracking.Store) error {
		var runs []tracking.RunData
		for _, id := range c.Runs {
			r, err := s.Get(ctx, id)
			if err != nil {
				return absent(err, "run", id)
			}
			runs = append(runs, r)
		}
		x := tracking.Compare(runs)
		return g.answer(map[string]any{"runs": c.Runs, "params": x.Params, "metrics": x.Metrics}, func(w io.Writer) { printComparison(w, x) })
	})
}

// printComparison writes a column a run; * marks the best.
func printComparison(w io.Writer, x tracking.Comparison) {
	t := tabwriter.NewWriter(w, 2, 4, 2, ' ', 0)
	defer t.Flush()
	fmt.Fprint(t, " ")
	for _, r := range x.Runs {
		fmt.Fprintf(t, "\t%s (%.8s)", r.Name, r.ID)
	}
	fmt.Fprintln(t)
	for _, row := range x.Params {
		fmt.Fprint(t, row.Key)
		for _, v := range row.Values {
			if v == nil {
				fmt.Fprint(t, "\t-")
			} else {
				fmt.Fprintf(t, "\t%s", *v)
			}
		}
		fmt.Fprintln(t)
	}
	for _, row := range x.Metrics {
		fmt.Fprint(t, row.Key)
		for i, m := range row.Values {
			switch {
			case m == nil:
				fmt.Fprint(t, "\t-")
			case i == row.Best:
				fmt.Fprintf(t, "\t%s *", number(m.Value))
			default:
				fmt.Fprintf(t, "\t%s", number(m.Value))
			}
		}
		fmt.Fprintln(t)
	}
}

type runsDeleteCmd struct {
	Runs []string `arg:"" help:"Ids of the runs."`
}

// Run deletes runs.
func (c *runsDeleteCmd) Run(ctx context.Context, g *globals) error {
	return g.each(ctx, c.Runs, "deleted", (*tracking.Store).DeleteRun)
}

type runsRestoreCmd struct {
	Runs []string `arg:"" help:"Ids of the runs."`
}

// Run restores runs.
func (c *runsRestoreCmd) Run(ctx context.Context, g *globals) error {
	return g.each(ctx, c.Runs, "restored", (*tracking.Store).RestoreRun)
}

// each does one thing to each of some runs, and tells it.
func (g *globals) each(ctx context.Context, runs []string, done string, do func(*tracking.Store, context.Context, string) error) error {
	return g.tracked(ctx, func(s *tracking.Store) error {
		for _, id := range runs {
			if err := do(s, ctx, id); err != nil {
				return absent(err, "run", id)
			}
		}
		return g.answer(map[string]any{done: runs}, func(w io.Writer) {
			for _, id := range runs {
				fmt.Fprintln(w, done, id)
			}
		})
	})
}
