package pages

import (
	"cmp"
	"fmt"
	"html/template"
	"math"
	"slices"
	"strings"

	"github.com/litterloop/litterloop/shared/tracking"
)

// series is a curve of a chart.
type series struct {
	Name   string
	Points []tracking.Metric
}

// The drawing's size, and the plot's within it, in pixels.
const (
	chartW, chartH                  = 420, 200
	plotL, plotR, plotT, plotBottom = 64, 412, 10, 178
)

// mostPoints that a curve is drawn with: more than there are pixels shows no
// more.
const mostPoints = 2 * (plotR - plotL)

// chart draws curves by step as SVG. Each point tells its figures when it is
// pointed at.
func chart(title string, curves []series) template.HTML {
	lo, hi := extent(curves, func(m tracking.Metric) float64 { return m.Value })
	first, last := extent(curves, func(m tracking.Metric) float64 { return float64(m.Step) })
	if math.IsInf(lo, 1) {
		return ""
	}
	if lo == hi {
		lo, hi = lo-math.Max(math.Abs(lo)*0.1, 1e-9), hi+math.Max(math.Abs(hi)*0.1, 1e-9)
	}
	x := func(step int64) float64 {
		if first == last {
			return (plotL + plotR) / 2
		}
		return plotL + (float64(step)-first)/(last-first)*(plotR-plotL)
	}
	y := func(v float64) float64 { return plotBottom - (v-lo)/(hi-lo)*(plotBottom-plotT) }
	var b strings.Builder
	fmt.Fprintf(&b, `<svg class="chart" viewBox="0 0 %d %d" role="img" aria-label="%s by step">`, chartW, chartH, template.HTMLEscapeString(title))
	for i := range 5 {
		v := lo + (hi-lo)*float64(i)/4
		fmt.Fprintf(&b, `<path class="grid" d="M%d %.1fH%d"/><text x="%d" y="%.1f" text-anchor="end">%.3g</text>`, plotL, y(v), plotR, plotL-6, y(v)+4, v)
	}
	fmt.Fprintf(&b, `<text x="%d" y="%d">%.0f</text><text x="%d" y="%d" text-anchor="end">step %.0f</text>`, plotL, plotBottom+16, first, plotR, plotBottom+16, last)
	for i, c := range curves {
		points := thin(c.Points)
		var line []string
		for _, m := range points {
			if !math.IsNaN(m.Value) {
				line = append(line, fmt.Sprintf("%.1f %.1f", x(m.Step), y(m.Value)))
			}
		}
		fmt.Fprintf(&b, `<g class="curve c%d">`, i%8)
		if len(line) > 1 {
			fmt.Fprintf(&b, `<path d="M%s"/>`, strings.Join(line, "L"))
		}
		for _, m := range points {
			if math.IsNaN(m.Value) {
				continue
			}
			fmt.Fprintf(&b, `<circle cx="%.1f" cy="%.1f" r="%s"><title>%s %s at step %d</title></circle>`,
				x(m.Step), y(m.Value), radius(len(points)), template.HTMLEscapeString(c.Name), figure(m.Value), m.Step)
		}
		b.WriteString("</g>")
	}
	b.WriteString("</svg>")
	return template.HTML(b.String()) // every text in it is escaped above
}

// radius of a point: few are seen, many are only pointed at.
func radius(points int) string {
	if points <= 60 {
		return "2.5"
	}
	return "1.2"
}

func extent(curves []series, of func(tracking.Metric) float64) (lo, hi float64) {
	lo, hi = math.Inf(1), math.Inf(-1)
	for _, c := range curves {
		for _, m := range c.Points {
			if v := of(m); !math.IsNaN(v) {
				lo, hi = min(lo, v), max(hi, v)
			}
		}
	}
	return lo, hi
}

// thin orders points by step and leaves, of a long curve, the least and the
// greatest of each stretch: its peaks stay.
func thin(points []tracking.Metric) []tracking.Metric {
	points = slices.Clone(points)
	slices.SortStableFunc(points, func(a, b tracking.Metric) int {
		return cmp.Or(cmp.Compare(a.Step, b.Step), cmp.Compare(a.Time, b.Time))
	})
	if len(points) <= mostPoints {
		return points
	}
	var kept []tracking.Metric
	stretches := mostPoints / 2
	for i := range stretches {
		part := points[i*len(points)/stretches : (i+1)*len(points)/stretches]
		least, most := 0, 0
		for k, m := range part {
			if m.Value < part[least].Value {
				least = k
			}
			if m.Value > part[most].Value {
				most = k
			}
		}
		kept = append(kept, part[min(least, most)])
		if least != most {
			kept = append(kept, part[max(least, most)])
		}
	}
	return kept
}
