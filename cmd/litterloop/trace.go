package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/litterloop/litterloop/cmd/litterloop/local"
	"github.com/litterloop/litterloop/shared/telemetry/export"
)

type traceCmd struct {
	ID  string `arg:"" optional:"" default:"last" help:"The beginning of a trace's ID, \"last\" for the newest pass of the loop, or \"all\" for a list."`
	All bool   `help:"Show every repetition, where many spans of one kind stand side by side."`
}

// Run prints where the time of a pass of the loop went.
func (c *traceCmd) Run(ctx context.Context, g *globals) error {
	traces, where, err := c.read(ctx, g)
	if err != nil {
		return err
	}
	if c.ID == "all" {
		return g.answer(traces, func(w io.Writer) { listTraces(w, traces) })
	}
	t, err := pick(traces, c.ID)
	if err != nil {
		return fmt.Errorf("%w in %s: `litterloop trace all` lists them", err, where)
	}
	return g.answer(t, func(w io.Writer) { printTrace(w, t, c.All) })
}

// read returns traces, oldest first, and where they are from: the local cloud's
// file, or Cloud Trace.
func (c *traceCmd) read(ctx context.Context, g *globals) (traces []export.Trace, where string, err error) {
	if g.Project == "" {
		where = local.Traces(g.State)
		spans, err := export.ReadFile(where)
		return export.Traces(spans), where, err
	}
	cl, err := g.connect(ctx)
	if err != nil {
		return nil, "", err
	}
	defer cl.Close()
	traces, err = cl.Traces(ctx, c.ID, func(have []export.Trace) bool {
		_, missing := pick(have, c.ID)
		return missing == nil
	})
	return traces, "project " + g.Project, err
}

// pick finds a trace by its ID's beginning; "last" is the newest that went
// through a function, as a pass of the loop does.
func pick(traces []export.Trace, id string) (export.Trace, error) {
	for _, t := range slices.Backward(traces) {
		if id == "last" && (len(t.Find("publish train")) > 0 || len(t.Find("publish retrain")) > 0) || id != "last" && strings.HasPrefix(t.ID, id) {
			return t, nil
		}
	}
	if id == "last" {
		return export.Trace{}, fmt.Errorf("no pass of the loop is recorded")
	}
	return export.Trace{}, fmt.Errorf("no trace %q is recorded", id)
}

func listTraces(w io.Writer, traces []export.Trace) {
	t := tabwriter.NewWriter(w, 2, 4, 2, ' ', 0)
	defer t.Flush()
	for _, x := range traces {
		fmt.Fprintf(t, "%.12s\t%s\t%s\t%d spans\t%s\n", x.ID, x.Start.Local().Format(time.DateTime), took(x.End.Sub(x.Start)), x.Spans, x.Roots[0].Name)
	}
}

func printTrace(w io.Writer, t export.Trace, all bool) {
	fmt.Fprintf(w, "trace %s, %s, %s, %d spans\n\n", t.ID, t.Start.Local().Format(time.DateTime), took(t.End.Sub(t.Start)), t.Spans)
	out := tabwriter.NewWriter(w, 2, 4, 2, ' ', 0)
	defer out.Flush()
	fmt.Fprintf(out, "at\ttook\t\n")
	printNodes(out, t.Start, t.Roots, 0, all)
}

// repetitions is how many spans of one name are shown side by side.
const repetitions = 3

func printNodes(w io.Writer, begin time.Time, nodes []*export.Node, depth int, all bool) {
	count, shown := map[string]int{}, map[string]int{}
	for _, n := range nodes {
		count[n.Name]++
	}
	for _, n := range nodes {
		if !all && !onward(n) {
			if shown[n.Name]++; shown[n.Name] == repetitions+1 {
				fmt.Fprintf(w, "\t\t%s… more of %q, %d in all\n", strings.Repeat("  ", depth), n.Name, count[n.Name])
			}
			if shown[n.Name] > repetitions {
				continue
			}
		}
		about := ""
		if n.Service != "" && (depth == 0 || n.Kind == "consumer" || n.Kind == "server" || n.Name == "training job") {
			about = " [" + n.Service + "]"
		}
		for _, key := range []string{"batch", "object", "version", "run", "revision", "epoch"} {
			if v, ok := n.Attributes[key]; ok {
				about += fmt.Sprintf(" %s=%v", key, v)
			}
		}
		if n.Error != "" {
			about += " FAILED: " + n.Error
		}
		fmt.Fprintf(w, "+%s\t%s\t%s%s%s\n", took(n.Start.Sub(begin)), took(n.End.Sub(n.Start)), strings.Repeat("  ", depth), n.Name, about)
		printNodes(w, begin, n.Children, depth+1, all)
	}
}

// onward tells whether the loop goes on below a span.
func onward(n *export.Node) bool {
	return slices.ContainsFunc(n.Children, func(c *export.Node) bool { return c.Kind == "producer" || c.Kind == "consumer" || onward(c) })
}

// took is a duration for people.
func took(d time.Duration) string {
	if d < 10*time.Second {
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}
