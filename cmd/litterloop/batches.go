package main

import (
	"fmt"
	"io"
	"strings"
	"unicode"

	"github.com/litterloop/litterloop/cmd/litterloop/client"
	"github.com/litterloop/litterloop/shared/dataset"
	"github.com/litterloop/litterloop/shared/validation"
)

// printBatches shows what became of everything that was dropped in the bucket
// incoming.
func printBatches(w io.Writer, incoming string, s client.Snapshot) {
	for _, b := range s.Batches {
		fmt.Fprintf(w, "  %s\t%s\t%s\n", plain(b.Batch, nameWidth), b.State, batchSays(b))
		for _, f := range b.Findings {
			fmt.Fprintf(w, "  \t%s\t%s (%d): %s\n", f.Kind, f.Code, f.Count, plain(f.Message, textWidth))
			for _, e := range f.Examples[:min(len(f.Examples), maxExamples)] {
				fmt.Fprintf(w, "  \t\t  %s\n", plain(e, textWidth))
			}
		}
		if b.Refused() {
			fmt.Fprintf(w, "  \t\tdetails: gs://%s/%s\n", incoming, plain(dataset.RejectedObject(b.Batch), textWidth))
		}
	}
	for _, o := range s.Strays {
		fmt.Fprintf(w, "  %s\trefused\t%s: %s\n", plain(o.Object, nameWidth), o.Code, plain(o.Message, textWidth))
	}
	if s.MoreStray > 0 {
		fmt.Fprintf(w, "  …\trefused\t%d more; see gs://%s/%s\n", s.MoreStray, incoming, dataset.RejectedPrefix)
	}
}

// printVersions shows the versions in the bucket datasets, and why the newest
// is not trained on where that is so.
func printVersions(w io.Writer, datasets string, s client.Snapshot) {
	refused := map[string]validation.Result{}
	for _, r := range s.Refused {
		refused[r.Dataset] = r
	}
	for i, v := range s.Versions {
		r, bad := refused[v.ID]
		mark := ""
		switch {
		case v.ID == s.Current:
			mark = "current"
		case bad:
			mark = "REFUSED: " + strings.Join(r.Blocking(), ", ")
		}
		fmt.Fprintf(w, "  %d\t%.12s\t%d photos, %d boxes, %d held out\t%s\n", v.Sequence, v.ID, v.Counts.Photos, v.Counts.Boxes, v.Splits[dataset.Val].Photos, mark)
		if bad && i == len(s.Versions)-1 {
			printRefusal(w, datasets, r)
		}
	}
}

func printRefusal(w io.Writer, datasets string, r validation.Result) {
	for _, f := range r.Findings {
		if f.Severity != validation.Block {
			continue
		}
		fmt.Fprintf(w, "  \t\t%s (%d): %s\n", f.Code, f.Count, plain(f.Message, textWidth))
		for _, e := range f.Examples[:min(len(f.Examples), maxExamples)] {
			fmt.Fprintf(w, "  \t\t  %s\n", plain(strings.TrimSpace(e.Photo+" "+e.Note), textWidth))
		}
	}
	fmt.Fprintf(w, "  \t\tmend the batch and drop it again, or `litterloop data approve` the version; report: gs://%s/%s\n", datasets, dataset.VersionObject(r.Dataset, dataset.ReportFile))
}

func batchSays(b dataset.BatchStatus) string {
	switch {
	case b.State == dataset.Waiting:
		return "for " + plain(b.WaitsFor(), textWidth)
	case b.State == dataset.Rejected && b.Version != "":
		return fmt.Sprintf("what was dropped last is not used, what was there before is, in %.12s; mend it and drop it again", b.Version)
	case b.State == dataset.Rejected:
		return "nothing of it is used; mend it and drop it again"
	}
	return fmt.Sprintf("%d photos, %d boxes in %.12s", b.Counts.Photos, b.Counts.Boxes, b.Version)
}

// What a terminal's line holds: whole names and messages are in the JSON and in
// the rejected/ object. Examples are there to be looked for, not to be counted.
const (
	nameWidth   = 40
	textWidth   = 300
	maxExamples = 3
)

// plain makes text from a bucket fit for a terminal: no control characters,
// which could move its cursor or break a table, and not too long.
func plain(text string, width int) string {
	runes := []rune(strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, text))
	if len(runes) > width {
		return string(runes[:width-1]) + "…"
	}
	return string(runes)
}
