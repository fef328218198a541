package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestDrawCurves_isWellFormedAndInside(t *testing.T) {
	for name, curves := range map[string][]trainCurve{
		"none":   nil,
		"no one": {{Name: "stopped"}},
		"two":    {{Name: "a & b", Points: []measured{{50, 10, 0.4, 0.2}, {100, 20, 0.55, 0.3}}, MemoryMB: 700}, {Name: "c", Points: []measured{{9, 5, 0.1, 0}}}},
	} {
		svg := drawCurves(curves)
		d := xml.NewDecoder(bytes.NewReader(svg))
		for {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v in %s", name, err, svg)
			}
		}
		if strings.Contains(string(svg), "NaN") || strings.Contains(string(svg), "Inf") || strings.Count(string(svg), "<polyline") != len(curves) {
			t.Errorf("%s: %s", name, svg)
		}
	}
	if svg := string(drawCurves([]trainCurve{{Name: "a", Points: []measured{{Step: 1, CPUSeconds: 60, MAP50: 0.6}}, MemoryMB: 700}})); !strings.Contains(svg, `points="524.0,16.0"`) || !strings.Contains(svg, "a: 0.600, 700 MB") {
		t.Error(svg)
	}
}
