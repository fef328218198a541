package main

import (
	"context"
	"encoding/json"
	"fmt"
	"html"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// curveEvery is the steps between two points: a measurement takes as long as
// three steps, and counts.
const curveEvery = 50

// curveCmd are the flags for curves of mAP over processor time.
type curveCmd struct {
	From       string  `help:"Draw curves of mAP as well: the detector to start from, as for train." placeholder:"MODEL"`
	Data       string  `help:"Directory of labelled photos." type:"existingdir" placeholder:"DIR"`
	Val        string  `help:"File that names the photos to hold out." type:"existingfile" placeholder:"LIST"`
	Out        string  `help:"Where the curves are drawn (SVG)." type:"path" default:"curves.svg"`
	CPUSeconds float64 `help:"Of each training." default:"120"`
}

// trainCurve is one training as its figures grew.
type trainCurve struct {
	Name     string     `json:"name"`
	Points   []measured `json:"points"` // the last is the finished model's
	MemoryMB float64    `json:"memory_mb"`
	Steps    int        `json:"steps"`
}

// curves trains under each setting that docs/training.md compares, in a process of
// its own, and draws what came of it.
func (c *curveCmd) curves(ctx context.Context, g *globals) ([]trainCurve, error) {
	if c.From == "" {
		return nil, nil
	}
	if c.Data == "" || c.Val == "" {
		return nil, fmt.Errorf("curves need --data and --val beside --from")
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	var curves []trainCurve
	for _, setting := range []struct {
		name string
		set  []string
	}{
		{"neck and head (default)", nil},
		{"head alone, 8 kept views", []string{"cut=neck", "views=8", "cache_mb=512"}},
	} {
		dir, err := os.MkdirTemp("", "litterloop-bench-")
		if err != nil {
			return nil, err
		}
		defer os.RemoveAll(dir)
		args := []string{"train", "--from", c.From, "--data", c.Data, "--val", c.Val, "--out", filepath.Join(dir, "out"), "--single-class", "--json",
			"--cpu-seconds", strconv.FormatFloat(c.CPUSeconds, 'g', -1, 64), "--set", "validate_every=" + strconv.Itoa(curveEvery)}
		for _, s := range setting.set {
			args = append(args, "--set", s)
		}
		cmd := exec.CommandContext(ctx, self, args...)
		cmd.Stderr = g.stderr
		text, err := cmd.Output()
		if err != nil {
			return nil, fmt.Errorf("train %s: %w", setting.name, err)
		}
		var t trained
		if err := json.Unmarshal(text, &t); err != nil {
			return nil, fmt.Errorf("train %s: its answer: %w", setting.name, err)
		}
		curves = append(curves, trainCurve{setting.name, t.Curve, t.PeakMB, t.Steps})
	}
	return curves, os.WriteFile(c.Out, drawCurves(curves), 0o666)
}

// drawCurves draws mAP50 over processor time as SVG; colours are told apart by
// colour-blind readers.
func drawCurves(curves []trainCurve) []byte {
	const width, height, left, top = 480, 300, 44, 16
	lastX, lastY := 1.0, 0.1
	for _, c := range curves {
		for _, p := range c.Points {
			lastX, lastY = max(lastX, p.CPUSeconds), max(lastY, p.MAP50)
		}
	}
	lastY = math.Ceil(lastY*10) / 10
	x := func(seconds float64) float64 { return left + seconds/lastX*width }
	y := func(v float64) float64 { return top + (1-v/lastY)*height }
	var s strings.Builder
	fmt.Fprintf(&s, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="11"><rect width="100%%" height="100%%" fill="#fff"/>`, left+width+16, top+height+40)
	for i := range 6 {
		seconds, v := lastX*float64(i)/5, lastY*float64(i)/5
		fmt.Fprintf(&s, `<path d="M%d %.1fh%d" stroke="#ddd"/><text x="%d" y="%.1f" text-anchor="end">%.2f</text><text x="%.1f" y="%d" text-anchor="middle">%.0f</text>`,
			left, y(v), width, left-6, y(v)+4, v, x(seconds), top+height+16, seconds)
	}
	fmt.Fprintf(&s, `<text x="%d" y="%d" text-anchor="middle">CPU seconds of the process; mAP50 on the held-out photos</text>`, left+width/2, top+height+34)
	for i, c := range curves {
		colour := []string{"#0072b2", "#d55e00", "#009e73", "#cc79a7"}[i%4]
		var points []string
		for _, p := range c.Points {
			points = append(points, fmt.Sprintf("%.1f,%.1f", x(p.CPUSeconds), y(p.MAP50)))
		}
		last := measured{}
		if len(c.Points) > 0 {
			last = slices.MaxFunc(c.Points, func(a, b measured) int { return a.Step - b.Step })
		}
		fmt.Fprintf(&s, `<polyline fill="none" stroke="%s" stroke-width="1.6" points="%s"/><text x="%d" y="%d" text-anchor="end" fill="%s">%s: %.3f, %.0f MB</text>`,
			colour, strings.Join(points, " "), left+width-8, top+height-10-16*i, colour, html.EscapeString(c.Name), last.MAP50, c.MemoryMB)
	}
	s.WriteString("</svg>\n")
	return []byte(s.String())
}
