package detectorbench

import (
	"fmt"
	"io"
	"math"
	"text/tabwriter"
)

// Row is a line of the table: a figure of ours against the best other one.
type Row struct {
	What    string  `json:"what"`
	Unit    string  `json:"unit"`
	Ours    float64 `json:"ours"`
	Against string  `json:"against,omitempty"`
	Theirs  float64 `json:"theirs,omitempty"`
	Ratio   float64 `json:"ratio,omitempty"`  // ours / theirs
	Target  float64 `json:"target,omitempty"` // of the ratio, or of ours where nothing stands against it
	Met     *bool   `json:"met,omitempty"`
}

// Contender is a server's figures at one size.
type Contender struct {
	Size      string  `json:"size"`
	Server    string  `json:"server"`
	P50       float64 `json:"p50_ms"` // one caller
	P99       float64 `json:"p99_ms"`
	CPUOne    float64 `json:"cpu_ms_one"`
	PerSecond float64 `json:"per_second"` // a crowd
	P50Many   float64 `json:"p50_ms_many"`
	P99Many   float64 `json:"p99_ms_many"`
	CPUMany   float64 `json:"cpu_ms_many"`
	PeakMB    float64 `json:"peak_mb"`
	StartMS   float64 `json:"start_ms"`
	StartCPU  float64 `json:"start_cpu_ms"`
}

// Report is the whole outcome.
type Report struct {
	Rows       []Row       `json:"rows"`
	Contenders []Contender `json:"contenders"`
}

// targets by size: the ratio of latency, of throughput.
var targets = map[string][2]float64{"640x480": {0.85, 1.6}, "12MP": {0.70, 1.8}}

const (
	targetCPU    = 1.08
	targetPeakMB = 220
	targetStart  = 300 // ms
)

// NewReport compares.
func NewReport(results []Result) Report {
	var rep Report
	for _, r := range results {
		for _, m := range r.Servers {
			rep.Contenders = append(rep.Contenders, Contender{
				Size: r.Size, Server: m.String(), P50: ms(m.One.percentile(0.5)), P99: ms(m.One.percentile(0.99)), CPUOne: ms(m.One.perRequest()),
				PerSecond: m.Many.perSecond(), P50Many: ms(m.Many.percentile(0.5)), P99Many: ms(m.Many.percentile(0.99)), CPUMany: ms(m.Many.perRequest()),
				PeakMB: m.PeakMB, StartMS: ms(m.Start.Wall), StartCPU: ms(m.Start.CPU),
			})
		}
		rep.add(r)
	}
	return rep
}

func (rep *Report) add(r Result) {
	mine, t := r.Servers[0], targets[r.Size]
	latency := func(p float64) func(*Measured) float64 {
		return func(m *Measured) float64 { return ms(m.One.percentile(p)) }
	}
	rep.compare(r, "p50, 1 caller", "ms", t[0], false, latency(0.5))
	rep.compare(r, "p99, 1 caller", "ms", t[0], false, latency(0.99))
	rep.compare(r, fmt.Sprintf("throughput, %d callers", crowd), "/s", t[1], true, func(m *Measured) float64 { return m.Many.perSecond() })
	floor, of := r.Run, "ONNX Runtime's run alone"
	if r.Size == "12MP" {
		floor, of = r.Run+r.Decode, "libjpeg-turbo's decode + run"
	}
	rep.row(Row{What: r.Size + ": CPU of a request", Unit: "ms", Ours: ms(mine.Many.perRequest()), Against: of, Theirs: ms(floor), Target: targetCPU}, false)
	rep.compare(r, fmt.Sprintf("peak memory, %d callers", crowd), "MB", 0, false, func(m *Measured) float64 { return m.PeakMB })
	if r.Size == "12MP" {
		rep.row(Row{What: "12MP: peak memory", Unit: "MB", Ours: mine.PeakMB, Target: targetPeakMB}, false)
	}
	rep.compare(r, "start to first answer", "ms", 0, false, func(m *Measured) float64 { return ms(m.Start.Wall) })
	rep.row(Row{What: r.Size + ": start to first answer", Unit: "ms", Ours: ms(mine.Start.Wall), Target: targetStart}, false)
}

// compare sets ours against the best anchor.
func (rep *Report) compare(r Result, what, unit string, target float64, more bool, of func(*Measured) float64) {
	var best *Measured
	for _, m := range r.Servers[1:] {
		if best == nil || (of(m) > of(best)) == more {
			best = m
		}
	}
	if best == nil {
		return
	}
	rep.row(Row{What: r.Size + ": " + what, Unit: unit, Ours: of(r.Servers[0]), Against: best.String(), Theirs: of(best), Target: target}, more)
}

func (rep *Report) row(row Row, more bool) {
	judged := row.Ours
	if row.Against != "" {
		row.Ratio = row.Ours / row.Theirs
		judged = row.Ratio
	}
	if row.Target != 0 {
		met := (judged >= row.Target) == more || judged == row.Target
		row.Met = &met
	}
	rep.Rows = append(rep.Rows, row)
}

// Print writes the tables.
func (rep *Report) Print(w io.Writer) {
	t := tabwriter.NewWriter(w, 2, 4, 2, ' ', 0)
	fmt.Fprintln(t, "what\tours\tbest other\tratio\ttarget\t\tthe other")
	for _, r := range rep.Rows {
		theirs, ratio, target, mark := "", "", "", ""
		if r.Against != "" {
			theirs, ratio = figure(r.Theirs, r.Unit), fmt.Sprintf("%.2f", r.Ratio)
		}
		if r.Target != 0 {
			target, mark = fmt.Sprintf("%g", r.Target), "missed"
			if *r.Met {
				mark = "met"
			}
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.What, figure(r.Ours, r.Unit), theirs, ratio, target, mark, r.Against)
	}
	t.Flush()
	fmt.Fprintln(w)
	t = tabwriter.NewWriter(w, 2, 4, 2, ' ', tabwriter.AlignRight)
	defer t.Flush()
	fmt.Fprintln(t, "size\tp50\tp99\tCPU\t16: /s\tp50\tp99\tCPU\tpeak MB\tstart ms\tstart CPU\tserver\t")
	for _, c := range rep.Contenders {
		fmt.Fprintf(t, "%s\t%.1f\t%.1f\t%.1f\t%.1f\t%.0f\t%.0f\t%.1f\t%.0f\t%.0f\t%.0f\t%s\t\n", c.Size, c.P50, c.P99, c.CPUOne, c.PerSecond, c.P50Many, c.P99Many, c.CPUMany, c.PeakMB, c.StartMS, c.StartCPU, c.Server)
	}
}

func figure(v float64, unit string) string {
	if v >= 100 {
		return fmt.Sprintf("%.0f %s", math.Round(v), unit)
	}
	return fmt.Sprintf("%.1f %s", v, unit)
}
