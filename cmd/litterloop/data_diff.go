package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/litterloop/litterloop/shared/dataset"
	"github.com/litterloop/litterloop/shared/dataset/compare"
)

type dataDiffCmd struct {
	From string `arg:"" help:"The earlier version. ${versionHelp}"`
	To   string `arg:"" help:"The later version. ${versionHelp}"`
}

// Run compares two versions.
func (c *dataDiffCmd) Run(ctx context.Context, g *globals) error {
	b, done, err := g.datasets(ctx)
	if err != nil {
		return err
	}
	defer done()
	var versions [2]dataset.Version
	var photos [2][]dataset.Photo
	for i, name := range [2]string{c.From, c.To} {
		if versions[i], err = dataset.Find(ctx, b, name); err != nil {
			return err
		}
		if photos[i], err = dataset.Photos(ctx, b, versions[i].ID); err != nil {
			return err
		}
	}
	r := compare.Versions(versions[0], versions[1], photos[0], photos[1])
	return g.answer(r, func(w io.Writer) { printDiff(w, r) })
}

func printDiff(w io.Writer, r compare.Report) {
	if r.Same() {
		fmt.Fprintf(w, "%s and %s hold the same photos, boxes and classes.\n", r.From, r.To)
		return
	}
	t := tabwriter.NewWriter(w, 2, 4, 2, ' ', 0)
	defer t.Flush()
	p, b := r.Photos, r.Boxes
	fmt.Fprintf(t, "photos\t%d → %d\t%s\n", p.Before, p.After, counted(p.Added, "added", p.Removed, "removed", p.Replaced, "replaced", p.Renamed, "renamed", p.Relabelled, "relabelled", p.Moved, "in another split"))
	fmt.Fprintf(t, "boxes\t%d → %d\t%s\n", b.Before, b.After, counted(b.Added, "added", b.Removed, "removed", b.Adjusted, "adjusted", b.Reclassified, "of another class"))
	for _, s := range []dataset.Split{dataset.Train, dataset.Val} {
		fmt.Fprintf(t, "%s\t%d → %d photos\t%d → %d boxes\n", s, r.Before[s].Photos, r.Splits[s].Photos, r.Before[s].Boxes, r.Splits[s].Boxes)
	}
	for _, s := range r.Sizes {
		fmt.Fprintf(t, "%s\t%d → %d boxes\t%s\n", s.Name, s.Before, s.After, counted(s.Added, "added", s.Removed, "removed", s.Left, "went to other sizes", s.Came, "came from other sizes"))
	}
	fmt.Fprintln(t, "\nCLASS\tBOXES\t")
	for _, c := range r.Classes {
		says := counted(c.Added, "added", c.Removed, "removed", c.Adjusted, "adjusted", c.Left, "went to other classes", c.Came, "came from other classes")
		if c.Change != "" {
			says = strings.TrimSuffix("class "+string(c.Change)+"; "+says, "; ")
		}
		if says != "" {
			fmt.Fprintf(t, "%s\t%d → %d\t%s\n", c.Name, c.Before, c.After, says)
		}
	}
	fmt.Fprintln(t, "\nPHOTO\tCHANGES\tBOXES")
	for i, p := range r.Changed {
		if i == maxShown {
			fmt.Fprintf(t, "and %d more; --json tells all\n", len(r.Changed)-i)
			break
		}
		var changes []string
		for _, c := range p.Changes {
			changes = append(changes, string(c))
		}
		fmt.Fprintf(t, "%s\t%s\t%s\n", p.Photo, strings.Join(changes, ", "), counted(p.Boxes.Added, "added", p.Boxes.Removed, "removed", p.Boxes.Adjusted, "adjusted", p.Boxes.Reclassified, "of another class"))
	}
}

// counted lists the counts that are not zero, each followed by its word.
func counted(countsAndWords ...any) string {
	var parts []string
	for i := 0; i < len(countsAndWords); i += 2 {
		if n := countsAndWords[i]; n != 0 {
			parts = append(parts, fmt.Sprint(n, " ", countsAndWords[i+1]))
		}
	}
	return strings.Join(parts, ", ")
}
