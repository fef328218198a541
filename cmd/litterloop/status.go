package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/litterloop/litterloop/cmd/litterloop/client"
	"github.com/litterloop/litterloop/localcloud/iam"
	"github.com/litterloop/litterloop/shared/registry"
	"github.com/litterloop/litterloop/shared/training"
)

type statusCmd struct{}

// Run shows where the loop stands.
func (*statusCmd) Run(ctx context.Context, g *globals) error {
	cl, err := g.connect(ctx)
	if err != nil {
		return err
	}
	defer cl.Close()
	s, err := cl.Snapshot(ctx)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	refused, unheard := cl.Refused(ctx)
	all := struct {
		client.Snapshot
		Refused []iam.Refusal `json:"refused_calls,omitempty"`
	}{s, refused}
	told := g.answer(all, func(w io.Writer) {
		printStatus(w, cl, s)
		for _, r := range refused {
			fmt.Fprintf(w, "REFUSED  %d times: %v\n", r.Times, &iam.Denied{Principal: r.Principal, Permission: r.Permission, Resource: r.Resource})
		}
	})
	if err := errors.Join(err, unheard); err != nil {
		return fmt.Errorf("not everything could be read: %w", err)
	}
	return told
}

func printStatus(w io.Writer, cl *client.Client, s client.Snapshot) {
	t := tabwriter.NewWriter(w, 2, 4, 2, ' ', 0)
	defer t.Flush()
	section := func(name string, n int, none string) bool {
		fmt.Fprintf(t, "%s\n", strings.ToUpper(name))
		if n == 0 {
			fmt.Fprintf(t, "  %s\n", none)
		}
		return n > 0
	}
	printStages(t, s)
	section("batches", len(s.Batches), "none yet; `litterloop drop DIR` brings one")
	printBatches(t, cl.Incoming, s)
	section("data sets", len(s.Versions), "none yet")
	printVersions(t, cl.Datasets, s)
	section("trainings", len(s.Trainings), "none yet")
	for _, r := range s.Trainings {
		says := string(r.State)
		switch {
		case r.State == training.Running && s.Progress != nil:
			says = fmt.Sprintf("%s, %d of %d", s.Progress.Phase, s.Progress.Step, s.Progress.Steps)
		case r.Failure != "":
			says += ": " + r.Failure
		}
		fmt.Fprintf(t, "  %.12s\ton %.12s\t%s\t%s\n", r.Run, r.Dataset, r.Trigger, says)
	}
	if section("models", len(s.Models), "none yet") {
		printModels(t, s.Models, s.Aliases)
	}
	if s.Serving != nil {
		fmt.Fprintf(t, "SERVING\t%s\n", s.Serving.URL)
		for _, r := range s.Serving.Revisions {
			fmt.Fprintf(t, "  %s\t%d %%\tready %v\t%s\n", r.Revision, r.Percent, r.Ready, r.Tag)
		}
	}
	if d := s.Drift; d != nil {
		fmt.Fprintf(t, "DRIFT\t%s\t%s\n  \treport\t%s\n", d.Verdict.Outcome, d.Verdict.Reason, d.HTML)
	}
	if n := len(s.Ledger); n > 0 {
		e := s.Ledger[n-1]
		fmt.Fprintf(t, "LAST DECISION\t%s\t%s\t%s\n", e.Decision.Outcome, strings.Join(e.Decision.Reasons, ", "), e.Created.Local().Format(time.DateTime))
	}
}

// printStages shows what each step did last, and what nobody has handled.
func printStages(t io.Writer, s client.Snapshot) {
	fmt.Fprintln(t, "STEPS")
	for _, g := range s.Stages() {
		when := "never"
		if !g.When.IsZero() {
			when = g.When.Local().Format(time.DateTime)
		}
		waits := ""
		if g.Waiting > 0 {
			waits = fmt.Sprintf("\t%d events wait, the oldest %s", g.Waiting, time.Duration(g.Oldest*float64(time.Second)).Round(time.Second))
		}
		fmt.Fprintf(t, "  %s\t%s\t%s\t%s%s\n", g.Name, g.State, when, g.Last, waits)
	}
	if q := s.DeadLetters(); q.Waiting > 0 {
		fmt.Fprintf(t, "DEAD LETTERS\t%d\t`litterloop events` lists them, and `litterloop events --replay` sends them again\n", q.Waiting)
	}
	if q := s.Alerts(); q.Waiting > 0 {
		fmt.Fprintf(t, "ALERTS\t%d\t`litterloop events --alerts`\n", q.Waiting)
	}
}

func printModels(w io.Writer, models []registry.Version, aliases map[string]int) {
	for _, v := range models {
		var names []string
		for a, n := range aliases {
			if n == v.Version {
				names = append(names, "@"+a)
			}
		}
		slices.Sort(names)
		fmt.Fprintf(w, "  %s/%d\t%s\tdata set %.12s\t%s\n", v.Model, v.Version, strings.Join(names, " "), v.Dataset, gateSays(v))
	}
}

func gateSays(v registry.Version) string {
	switch {
	case v.Gate == nil:
		return "gate: not judged yet"
	case v.Gate.Passed:
		return "gate: passed"
	}
	var reasons []string
	for _, r := range v.Gate.Reasons {
		reasons = append(reasons, string(r.Code))
	}
	return "gate: REFUSED, " + strings.Join(reasons, ", ")
}
