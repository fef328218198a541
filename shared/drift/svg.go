package drift

import (
	"fmt"
	"html/template"
	"math"
	"slices"
	"strings"
)

// The drawings of a report. Colours come from the page's style sheet by class.

const chartW, chartH = 300, 96

// chart draws a feature's two distributions on common bins: the reference as a
// filled shape, the window as a line over it.
func (f Feature) chart() template.HTML {
	if f.Reference.Labels != nil {
		return f.bars()
	}
	top := max(slices.Max(append(f.Reference.Shares, 0)), slices.Max(append(f.Current.Shares, 0)))
	if top == 0 {
		return ""
	}
	var s strings.Builder
	fmt.Fprintf(&s, `<svg viewBox="0 0 %d %d" role="img" aria-label="%s: reference and window">`, chartW, chartH+16, template.HTMLEscapeString(f.Name))
	fmt.Fprintf(&s, `<path class="ref" d="%s"/><path class="cur" d="%s"/>`, steps(f.Reference.Shares, top, true), steps(f.Current.Shares, top, false))
	fmt.Fprintf(&s, `<line class="axis" x1="0" y1="%d" x2="%d" y2="%d"/>`, chartH, chartW, chartH)
	if e := f.Reference.Edges; len(e) > 1 {
		fmt.Fprintf(&s, `<text x="0" y="%d">%s</text><text x="%d" y="%d" text-anchor="middle">%s</text><text x="%d" y="%d" text-anchor="end">%s</text>`,
			chartH+13, number(e[0]), chartW/2, chartH+13, number(e[len(e)/2]), chartW, chartH+13, number(e[len(e)-1]))
	}
	s.WriteString(`</svg>`)
	return template.HTML(s.String())
}

// steps is a histogram's outline.
func steps(shares []float64, top float64, closed bool) string {
	var s strings.Builder
	w := float64(chartW) / float64(len(shares))
	fmt.Fprintf(&s, "M0 %d", chartH)
	for i, v := range shares {
		y := chartH - v/top*(chartH-6)
		fmt.Fprintf(&s, "L%.1f %.1fL%.1f %.1f", float64(i)*w, y, float64(i+1)*w, y)
	}
	fmt.Fprintf(&s, "L%d %d", chartW, chartH)
	if closed {
		s.WriteString("Z")
	}
	return s.String()
}

// shownClasses is how many classes a chart has room for.
const shownClasses = 12

// bars draws the class mix: two bars a class, the largest classes first.
func (f Feature) bars() template.HTML {
	order := make([]int, len(f.Reference.Labels))
	top := 0.0
	for i := range order {
		order[i] = i
		top = max(top, f.Reference.Shares[i], f.Current.Shares[i])
	}
	if top == 0 {
		return ""
	}
	slices.SortStableFunc(order, func(a, b int) int {
		x, y := f.Reference.Shares[a]+f.Current.Shares[a], f.Reference.Shares[b]+f.Current.Shares[b]
		switch {
		case x > y:
			return -1
		case x < y:
			return 1
		}
		return 0
	})
	order = order[:min(len(order), shownClasses)]
	const row, left = 18, 100
	var s strings.Builder
	fmt.Fprintf(&s, `<svg viewBox="0 0 %d %d" role="img" aria-label="class mix: reference and window">`, chartW, row*len(order))
	for k, i := range order {
		label := f.Reference.Labels[i]
		if r := []rune(label); len(r) > 16 {
			label = string(r[:15]) + "…"
		}
		scale := float64(chartW-left-66) / top
		fmt.Fprintf(&s, `<text x="%d" y="%d" text-anchor="end">%s</text>`, left-6, k*row+12, template.HTMLEscapeString(label))
		fmt.Fprintf(&s, `<rect class="ref" x="%d" y="%d" width="%.1f" height="6"/><rect class="curbar" x="%d" y="%d" width="%.1f" height="6"/>`,
			left, k*row+2, f.Reference.Shares[i]*scale, left, k*row+9, f.Current.Shares[i]*scale)
		fmt.Fprintf(&s, `<text x="%d" y="%d" text-anchor="end">%.0f → %.0f%%</text>`, chartW, k*row+12, 100*f.Reference.Shares[i], 100*f.Current.Shares[i])
	}
	s.WriteString(`</svg>`)
	return template.HTML(s.String())
}

// gauge draws what harmless windows reach, the threshold and the window's score.
func (v Verdict) gauge() template.HTML {
	h := v.Harmless
	if len(h.Shares) == 0 {
		return ""
	}
	const w, height = 720, 120
	lo, hi := h.Edges[0], max(h.Edges[len(h.Edges)-1], v.Threshold, v.Score)
	hi += (hi - lo) * 0.06
	x := func(value float64) float64 { return 10 + (value-lo)/(hi-lo)*(w-20) }
	top := slices.Max(h.Shares)
	var s strings.Builder
	fmt.Fprintf(&s, `<svg viewBox="0 0 %d %d" role="img" aria-label="harmless windows, threshold and this window">`, w, height+34)
	for i, share := range h.Shares {
		y := share / top * (height - 30)
		fmt.Fprintf(&s, `<rect class="ref" x="%.1f" y="%.1f" width="%.1f" height="%.1f"/>`, x(h.Edges[i]), height-y, max(x(h.Edges[i+1])-x(h.Edges[i])-1, 0.5), y)
	}
	fmt.Fprintf(&s, `<line class="axis" x1="0" y1="%d" x2="%d" y2="%d"/>`, height, w, height)
	mark := func(value float64, class, label string, y int) {
		at, anchor := x(value), "middle"
		switch {
		case at > w-90:
			anchor = "end"
		case at < 90:
			anchor = "start"
		}
		fmt.Fprintf(&s, `<line class="%s" x1="%.1f" y1="20" x2="%.1f" y2="%d"/><text class="%s" x="%.1f" y="%d" text-anchor="%s">%s</text>`, class, at, at, height, class, at, y, anchor, label)
	}
	mark(v.Threshold, "threshold", "threshold "+number(v.Threshold), height+15)
	class := "score"
	if v.Outcome == Drifted {
		class = "score bad"
	}
	mark(v.Score, class, "this window "+number(v.Score), height+30)
	s.WriteString(`</svg>`)
	return template.HTML(s.String())
}

// number is a figure with the three digits that people read.
func number(x float64) string {
	switch a := math.Abs(x); {
	case math.IsNaN(x):
		return "–"
	case a >= 100 || x == math.Trunc(x):
		return fmt.Sprintf("%.0f", x)
	case a >= 10:
		return fmt.Sprintf("%.1f", x)
	case a >= 0.01:
		return fmt.Sprintf("%.2f", x)
	}
	return fmt.Sprintf("%.2g", x)
}
