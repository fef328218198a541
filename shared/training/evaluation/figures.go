package evaluation

import (
	"fmt"
	"html"
	"strings"
)

// colours of curves, told apart by colour-blind readers (Okabe & Ito).
var colours = []string{"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000"}

// maxCurves keeps the drawing readable: the classes with most support.
const maxCurves = 7

// Curves draws precision over recall at IoU 0.50 as SVG.
func (r Report) Curves() []byte {
	const side, margin = 360, 48
	var s strings.Builder
	fmt.Fprintf(&s, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="11">`, side+margin+170, side+2*margin)
	fmt.Fprintf(&s, `<rect width="100%%" height="100%%" fill="#fff"/><rect x="%d" y="%d" width="%d" height="%d" fill="none" stroke="#888"/>`, margin, margin/2, side, side)
	for i := 0; i <= 10; i += 2 {
		at := float64(i) / 10 * side
		fmt.Fprintf(&s, `<text x="%.0f" y="%d" text-anchor="middle">%.1f</text><text x="%d" y="%.0f" text-anchor="end">%.1f</text>`,
			margin+at, margin/2+side+16, float64(i)/10, margin-6, float64(margin/2+side)-at+4, float64(i)/10)
	}
	fmt.Fprintf(&s, `<text x="%d" y="%d" text-anchor="middle">recall</text><text x="12" y="%d">precision</text>`, margin+side/2, margin/2+side+34, margin/2-8)
	drawn := 0
	for _, c := range r.mostSupported() {
		colour := colours[drawn%len(colours)]
		fmt.Fprintf(&s, `<polyline fill="none" stroke="%s" stroke-width="1.6" points="`, colour)
		for i, p := range c.Curve {
			fmt.Fprintf(&s, "%.1f,%.1f ", margin+recalls[i]*side, float64(margin/2)+(1-p)*side)
		}
		fmt.Fprintf(&s, `"/><text x="%d" y="%d" fill="%s">%s %.2f (%d)</text>`, margin+side+10, margin/2+14+16*drawn, colour, html.EscapeString(short(c.Name)), c.AP50, c.Support)
		drawn++
	}
	s.WriteString("</svg>\n")
	return []byte(s.String())
}

func (r Report) mostSupported() []Class {
	var cs []Class
	for _, c := range r.Classes {
		if c.Support > 0 {
			cs = append(cs, c)
		}
	}
	sortByScore(cs, func(c Class) float64 { return float64(c.Support) })
	return cs[:min(len(cs), maxCurves)]
}

func short(name string) string {
	const most = 18
	if letters := []rune(name); len(letters) > most {
		return string(letters[:most-1]) + "…"
	}
	return name
}

// Matrix draws the confusion of classes as SVG: rows what is, columns what was
// found. Classes that were neither labelled nor found are left out.
func (r Report) Matrix() []byte {
	var shown []int
	n := len(r.Classes)
	for i := range r.Confusion {
		total := 0
		for j := range r.Confusion {
			total += r.Confusion[i][j] + r.Confusion[j][i]
		}
		if total > 0 || i == n {
			shown = append(shown, i)
		}
	}
	name := func(i int) string {
		if i == n {
			return "nothing"
		}
		return short(r.Classes[i].Name)
	}
	const cell, left, top = 34, 130, 120
	var s strings.Builder
	fmt.Fprintf(&s, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="11"><rect width="100%%" height="100%%" fill="#fff"/>`, left+cell*len(shown)+10, top+cell*len(shown)+10)
	for row, i := range shown {
		y := top + cell*row
		fmt.Fprintf(&s, `<text x="%d" y="%d" text-anchor="end">%s</text>`, left-6, y+cell/2+4, html.EscapeString(name(i)))
		fmt.Fprintf(&s, `<text transform="translate(%d %d) rotate(-60)">%s</text>`, left+cell*row+cell/2, top-6, html.EscapeString(name(i)))
		most := 1
		for _, v := range r.Confusion[i] {
			most = max(most, v)
		}
		for column, j := range shown {
			v := r.Confusion[i][j]
			fmt.Fprintf(&s, `<rect x="%d" y="%d" width="%d" height="%d" fill="#0072b2" fill-opacity="%.2f" stroke="#ccc"/>`, left+cell*column, y, cell, cell, 0.75*float64(v)/float64(most))
			if v > 0 {
				fmt.Fprintf(&s, `<text x="%d" y="%d" text-anchor="middle">%d</text>`, left+cell*column+cell/2, y+cell/2+4, v)
			}
		}
	}
	s.WriteString("</svg>\n")
	return []byte(s.String())
}
