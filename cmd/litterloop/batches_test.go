package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/litterloop/litterloop/cmd/litterloop/client"
	"github.com/litterloop/litterloop/shared/dataset"
	"github.com/litterloop/litterloop/shared/validation"
)

func TestPrintBatches(t *testing.T) {
	note := dataset.Finding{Code: dataset.PhotoNotInLabels, Kind: dataset.Note, Message: "not used", Count: 5, Examples: []string{"a", "b", "c", "d"}}
	lost := dataset.Finding{Code: dataset.BoxOutside, Kind: dataset.Quarantined, Message: "outside", Count: 1, Examples: []string{"1.jpg: [9 9 1 1]"}}
	tests := []struct {
		name string
		s    client.Snapshot
		want []string
	}{
		{"notes alone leave no object to look at", client.Snapshot{Batches: []dataset.BatchStatus{{Batch: "b", State: dataset.Converted, Version: "0123456789abcdef", Counts: dataset.Counts{Photos: 2, Boxes: 3}, Findings: []dataset.Finding{note}}}},
			[]string{"  b\tconverted\t2 photos, 3 boxes in 0123456789ab", "  \tnote\tphoto-not-in-labels (5): not used", "  \t\t  a", "  \t\t  b", "  \t\t  c"}},
		{"what was quarantined has details", client.Snapshot{Batches: []dataset.BatchStatus{{Batch: "b", State: dataset.Converted, Findings: []dataset.Finding{lost}}}},
			[]string{"  b\tconverted\t0 photos, 0 boxes in ", "  \tquarantined\tbox-outside (1): outside", "  \t\t  1.jpg: [9 9 1 1]", "  \t\tdetails: gs://in/rejected/b.json"}},
		{"an earlier state stays", client.Snapshot{Batches: []dataset.BatchStatus{{Batch: "b", State: dataset.Rejected, Version: "v"}}},
			[]string{"  b\trejected\twhat was dropped last is not used, what was there before is, in v; mend it and drop it again", "  \t\tdetails: gs://in/rejected/b.json"}},
		{"a name that would move the cursor, or fill the screen", client.Snapshot{Batches: []dataset.BatchStatus{{Batch: "a\x1b[2J\t" + strings.Repeat("é", 300), State: dataset.Waiting, LabelsMD5: "m", Photos: 2, Missing: 1, Examples: []string{"x\n.jpg"}}}},
			[]string{"  a\ufffd[2J\ufffd" + strings.Repeat("é", 33) + "…\twaiting\tfor 1 of 2 photos: x\ufffd.jpg"}},
		{"objects outside batches", client.Snapshot{Strays: []dataset.Stray{{Object: "x.jpg", Code: "object-outside-batch", Message: "move it"}}, MoreStray: 7},
			[]string{"  x.jpg\trefused\tobject-outside-batch: move it", "  …\trefused\t7 more; see gs://in/rejected/"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var b strings.Builder
			printBatches(&b, "in", tt.s)
			if d := cmp.Diff(strings.Join(tt.want, "\n")+"\n", b.String()); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestPrintVersions_saysWhyTheNewestIsRefused(t *testing.T) {
	var b strings.Builder
	printVersions(&b, "data", client.Snapshot{
		Versions: []dataset.Version{{ID: "v1", Sequence: 1}, {ID: "v2", Sequence: 2}}, Current: "v1",
		Refused: []validation.Result{{Dataset: "v2", Findings: []validation.Finding{
			{Code: validation.NoBoxes, Severity: validation.Block, Message: "nothing to learn", Count: 1, Examples: []validation.Example{{Note: "2 photos"}}},
			{Code: validation.Dark, Severity: validation.Warn, Message: "dark", Count: 1}}}},
	})
	want := "  1\tv1\t0 photos, 0 boxes, 0 held out\tcurrent\n" +
		"  2\tv2\t0 photos, 0 boxes, 0 held out\tREFUSED: no-boxes\n" +
		"  \t\tno-boxes (1): nothing to learn\n  \t\t  2 photos\n" +
		"  \t\tmend the batch and drop it again, or `litterloop data approve` the version; report: gs://data/versions/v2/report.html\n"
	if d := cmp.Diff(want, b.String()); d != "" {
		t.Error(d)
	}
}
