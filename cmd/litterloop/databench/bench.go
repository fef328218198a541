// Package databench measures what data sets take, beside the programs that do
// the same work: Ultralytics' convert_coco and DVC, installed from the package
// index. Ours and theirs take turns, and of the rounds the median counts.
package databench

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
)

// Rows of the table, by the names that people select them with.
const (
	Convert  = "convert"
	Million  = "million"
	Validate = "validate"
	Version  = "version"
)

// Options of Run.
type Options struct {
	Self    string // this program
	Cache   string // for the peers' environments, kept
	Work    string // existing directory, for the input and what comes out
	Rows    []string
	Rounds  int
	Scale   float64 // of the sizes: 1 is 100,000 images
	NoPeers bool
	Photos  string // directory of JPEG photos to validate; "": drawn ones
	Say     func(string)
	Log     io.Writer // what peers' installations say
}

// Figures of one way to do the work: medians over the rounds.
type Figures struct {
	Wall   float64 `json:"wall_s"`
	CPU    float64 `json:"cpu_s"` // user and system, all processes
	PeakMB float64 `json:"peak_mb"`
}

// Row is a line of the table.
type Row struct {
	Work    string   `json:"work"`
	Ours    Figures  `json:"ours"`
	Peer    string   `json:"peer,omitempty"`
	Theirs  *Figures `json:"theirs,omitempty"`
	Reach   string   `json:"reach"`
	Met     bool     `json:"met"`
	Remarks []string `json:"remarks,omitempty"`
}

// Report is the whole table.
type Report struct {
	Rows []Row `json:"rows"`
}

// Run measures the rows that are asked for.
func Run(ctx context.Context, o Options) (rep Report, err error) {
	for _, row := range []struct {
		name    string
		measure func(context.Context, Options) (Row, error)
	}{{Convert, convert}, {Million, million}, {Validate, validate}, {Version, version}} {
		if !slices.Contains(o.Rows, row.name) {
			continue
		}
		r, err := row.measure(ctx, o)
		if err != nil {
			return rep, fmt.Errorf("%s: %w", row.name, err)
		}
		rep.Rows = append(rep.Rows, r)
		o.Say(fmt.Sprintf("%s: %s %s", r.Work, r.Ours, strings.Join(r.Remarks, "; "))) // the rest may take long
		if r.Theirs != nil {
			o.Say(fmt.Sprintf("  %s: %s", r.Peer, *r.Theirs))
		}
	}
	return rep, nil
}

// Print writes the table.
func (rep Report) Print(w io.Writer) {
	t := tabwriter.NewWriter(w, 2, 4, 2, ' ', 0)
	fmt.Fprintln(t, "work\tours\tpeer\t\treach\t")
	for _, r := range rep.Rows {
		theirs, mark := "", "missed"
		if r.Theirs != nil {
			theirs = r.Theirs.String()
		}
		if r.Met {
			mark = "met"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", r.Work, r.Ours, r.Peer, theirs, r.Reach, mark)
	}
	t.Flush()
	for _, r := range rep.Rows {
		for _, remark := range r.Remarks {
			fmt.Fprintf(w, "%s: %s\n", r.Work, remark)
		}
	}
}

func (f Figures) String() string {
	s := fmt.Sprintf("%.2f s (%.2f s CPU)", f.Wall, f.CPU)
	if f.PeakMB > 0 {
		s += fmt.Sprintf(", %.0f MB", f.PeakMB)
	}
	return s
}

// alternate runs ours and theirs in turn and returns the medians; theirs may be
// nil.
func alternate(rounds int, ours, theirs func(round int) (Figures, error)) (Figures, *Figures, error) {
	var a, b []Figures
	for round := range rounds {
		f, err := ours(round)
		if err != nil {
			return Figures{}, nil, err
		}
		a = append(a, f)
		if theirs == nil {
			continue
		}
		if f, err = theirs(round); err != nil {
			return Figures{}, nil, err
		}
		b = append(b, f)
	}
	if theirs == nil {
		return median(a), nil, nil
	}
	m := median(b)
	return median(a), &m, nil
}

func median(all []Figures) Figures {
	of := func(get func(Figures) float64) float64 {
		var v []float64
		for _, f := range all {
			v = append(v, get(f))
		}
		slices.Sort(v)
		return v[len(v)/2]
	}
	return Figures{of(func(f Figures) float64 { return f.Wall }), of(func(f Figures) float64 { return f.CPU }), of(func(f Figures) float64 { return f.PeakMB })}
}

// count is how many files lie below dir.
func count(dir, ending string) (n int) {
	_ = filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.HasSuffix(p, ending) {
			n++
		}
		return nil
	})
	return n
}

// tail is the end of what a program said.
func tail(b *bytes.Buffer) string {
	s := strings.TrimSpace(b.String())
	return s[max(0, len(s)-600):]
}
