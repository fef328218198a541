package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/dataset"
	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/validation"
)

type dataListCmd struct{}

// listedVersion is a version as `data list` and `data show` tell of it.
type listedVersion struct {
	dataset.Version
	Current    bool                 `json:"current"`
	Validation *validation.Result   `json:"validation,omitempty"` // absent until validated
	Approval   *validation.Approval `json:"approval,omitempty"`
}

// Run lists every complete version, oldest first.
func (*dataListCmd) Run(ctx context.Context, g *globals) error {
	b, done, err := g.datasets(ctx)
	if err != nil {
		return err
	}
	defer done()
	versions, err := dataset.List(ctx, b)
	if err != nil {
		return err
	}
	all := make([]listedVersion, len(versions))
	for i, v := range versions {
		if all[i], err = describeVersion(ctx, b, v); err != nil {
			return err
		}
		if all[i].Validation != nil {
			all[i].Validation.Findings = nil // `data show` tells them
		}
	}
	return g.answer(map[string]any{"versions": all}, func(w io.Writer) {
		if len(all) == 0 {
			fmt.Fprintln(w, "No data set version yet: `litterloop drop DIR` brings photos and labels, and `litterloop status` shows what becomes of them.")
			return
		}
		t := tabwriter.NewWriter(w, 2, 4, 2, ' ', 0)
		defer t.Flush()
		fmt.Fprintln(t, "#\tID\tMADE\tPHOTOS\tBOXES\tCLASSES\tHELD OUT\tVALIDATION")
		for _, v := range all {
			fmt.Fprintf(t, "%d\t%s\t%s\t%d\t%d\t%d\t%d\t%s\n", v.Sequence, v.ID, v.Created.Local().Format(time.DateTime),
				v.Counts.Photos, v.Counts.Boxes, len(v.Classes), v.Splits[dataset.Val].Photos, v.says())
		}
	})
}

// describeVersion reads what was decided about a version.
func describeVersion(ctx context.Context, b blob.Bucket, v dataset.Version) (listedVersion, error) {
	l := listedVersion{Version: v}
	current, err := dataset.Current(ctx, b)
	if err != nil && !errors.Is(err, errs.NotFound) {
		return l, err
	}
	l.Current = err == nil && current.ID == v.ID
	if r, err := validation.Load(ctx, b, v.ID); err == nil {
		l.Validation = &r
	} else if !errors.Is(err, errs.NotFound) {
		return l, err
	}
	if a, err := validation.LoadApproval(ctx, b, v.ID); err == nil {
		l.Approval = &a
	} else if !errors.Is(err, errs.NotFound) {
		return l, err
	}
	return l, nil
}

// says is what was decided, in a word.
func (l listedVersion) says() string {
	var s string
	switch {
	case l.Validation == nil:
		s = "not yet"
	case l.Validation.Passed:
		s = "passed"
	case l.Approval != nil:
		s = "blocked, approved by " + l.Approval.Who
	default:
		s = "blocked"
	}
	if l.Current {
		s += ", current"
	}
	return s
}

type dataShowCmd struct {
	ID   string `arg:"" optional:"" help:"Which version (default: the current one). ${versionHelp}"`
	Save string `help:"Save the report (one HTML file) here." type:"path" placeholder:"FILE"`
}

// Run shows one version.
func (c *dataShowCmd) Run(ctx context.Context, g *globals) error {
	b, done, err := g.datasets(ctx)
	if err != nil {
		return err
	}
	defer done()
	v, err := dataset.Find(ctx, b, c.ID)
	if err != nil {
		return err
	}
	var shown struct {
		listedVersion
		Report    string `json:"report,omitempty"` // gs:// of the HTML report
		ReportURL string `json:"report_url,omitempty"`
	}
	if shown.listedVersion, err = describeVersion(ctx, b, v); err != nil {
		return err
	}
	object := dataset.VersionObject(v.ID, dataset.ReportFile)
	if shown.Validation != nil {
		shown.Report = "gs://" + b.Name() + "/" + object
		if e := storageEndpoint(); e != "" {
			shown.ReportURL = e + "/" + b.Name() + "/" + object
		}
	}
	if c.Save != "" {
		page, _, err := blob.ReadAll(ctx, b, object)
		if err != nil {
			return fmt.Errorf("the report of %s: %w", v.ID, err)
		}
		if err := os.WriteFile(c.Save, page, 0o666); err != nil {
			return err
		}
	}
	return g.answer(shown, func(w io.Writer) {
		printVersion(w, shown.listedVersion)
		switch {
		case c.Save != "":
			fmt.Fprintf(w, "report      %s\n", c.Save)
		case shown.ReportURL != "":
			fmt.Fprintf(w, "report      %s\n", shown.ReportURL)
		case shown.Report != "":
			fmt.Fprintf(w, "report      %s\n", shown.Report)
		}
	})
}

func printVersion(w io.Writer, l listedVersion) {
	fmt.Fprintf(w, "version     %s, number %d, made %s\n", l.ID, l.Sequence, l.Created.Local().Format(time.DateTime))
	fmt.Fprintf(w, "photos      %d (%d held out), %d boxes, %.1f MB in %d files\n", l.Counts.Photos, l.Splits[dataset.Val].Photos, l.Counts.Boxes, float64(l.Bytes)/1e6, l.Files)
	fmt.Fprintf(w, "batches     %s\n", strings.Join(l.Batches, ", "))
	if l.Parent != "" {
		fmt.Fprintf(w, "before it   %s\n", l.Parent)
	}
	fmt.Fprintf(w, "validation  %s\n", l.says())
	if l.Approval != nil {
		fmt.Fprintf(w, "            approved %s: %s\n", l.Approval.Created.Local().Format(time.DateTime), l.Approval.Why)
	}
	t := tabwriter.NewWriter(w, 2, 4, 2, ' ', 0)
	if l.Validation != nil {
		for _, f := range l.Validation.Findings {
			fmt.Fprintf(t, "  %s\t%s\t%d\t%s\n", f.Severity, f.Code, f.Count, f.Message)
		}
		t.Flush()
	}
	fmt.Fprintf(w, "classes     %d\n", len(l.Classes))
	for i, name := range l.Classes {
		fmt.Fprintf(t, "  %d\t%s\t%d boxes\n", i, name, l.PerClass[i])
	}
	t.Flush()
}

type dataApproveCmd struct {
	ID  string `arg:"" help:"Which version. ${versionHelp}"`
	Who string `required:"" help:"Who approves: a name or address that others can ask."`
	Why string `required:"" help:"Why it may be trained on all the same."`
}

// Run records an approval; the loop goes on by itself.
func (c *dataApproveCmd) Run(ctx context.Context, g *globals) error {
	if strings.TrimSpace(c.Who) == "" || strings.TrimSpace(c.Why) == "" {
		return errors.New("an approval needs somebody's name (--who) and a reason (--why)")
	}
	b, done, err := g.datasets(ctx)
	if err != nil {
		return err
	}
	defer done()
	v, err := dataset.Find(ctx, b, c.ID)
	if err != nil {
		return err
	}
	if err := validation.Approve(ctx, b, v.ID, c.Who, c.Why, time.Now()); err != nil {
		return err
	}
	a, err := validation.LoadApproval(ctx, b, v.ID)
	if err != nil {
		return err
	}
	return g.answer(a, func(w io.Writer) {
		fmt.Fprintf(w, "%s is approved in spite of %s. The loop takes it up as if it had passed.\n", v.ID, strings.Join(a.Codes, ", "))
	})
}
