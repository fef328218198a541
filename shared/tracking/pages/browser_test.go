package pages_test

import (
	"strings"
	"testing"

	"github.com/litterloop/litterloop/shared/browsertest"
)

// A person with a keyboard alone finds a run, looks at its curves, and compares.
func TestBrowser_keyboardAlone(t *testing.T) {
	w := newWorld(t)
	b := browsertest.Open(t, w.URL+"/mlflow/")
	b.Press("j", 'J') // the first experiment
	b.Press("Enter", 13)
	b.Until(`location.pathname.includes("/experiments/") && document.readyState === "complete"`)
	b.Press("/", 191)
	if at := b.Eval(`document.activeElement.name`); at != "filter" {
		t.Fatalf("/ goes to %q", at)
	}
	b.Press("Escape", 27)
	for range 2 {
		b.Press("j", 'J')
		b.Press("x", 'X')
	}
	if n := b.Eval(`document.querySelectorAll("input[name=run]:checked").length`); n != "2" {
		t.Fatalf("%s runs are ticked", n)
	}
	b.Eval(`[...document.querySelectorAll("button")].find(x => x.textContent.startsWith("Compare")).click()`)
	b.Until(`location.pathname.endsWith("/compare") && document.readyState === "complete"`)
	if n := b.Eval(`document.querySelectorAll("svg.chart .curve path").length`); n != "2" {
		t.Errorf("%s curves are drawn", n)
	}
	b.Picture("compare")
	b.Eval(`document.querySelector("thead a").click()`)
	b.Until(`location.pathname.includes("/runs/") && document.readyState === "complete"`)
	if text := b.Eval(`document.body.innerText`); !strings.Contains(text, "train/loss") || !strings.Contains(text, "finished") {
		t.Errorf("the run's page says %s", text)
	}
	box := b.Eval(`JSON.stringify([...document.querySelectorAll("svg.chart text")].map(x => x.getBBox().x).filter(x => x < 0))`)
	if box != "[]" {
		t.Errorf("labels of a chart are cut off: %s", box)
	}
	b.Eval(`location.assign(%q)`, w.URL+"/mlflow/models/litter/1")
	b.Until(`location.pathname.endsWith("/models/litter/1") && document.readyState === "complete"`)
	if text := b.Eval(`document.querySelector(".lineage").innerText`); !strings.Contains(text, "litter-v1") {
		t.Errorf("lineage: %s", text)
	}
	b.Picture("version")
}

// On a phone nothing stands beside the screen.
func TestBrowser_narrow(t *testing.T) {
	w := newWorld(t)
	b := browsertest.Open(t, w.URL+"/mlflow/loop")
	b.Call("Emulation.setDeviceMetricsOverride", map[string]any{"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": true}, nil)
	b.Until(`innerWidth === 390`)
	if over := b.Eval(`document.documentElement.scrollWidth - innerWidth`); over != "0" {
		t.Errorf("the page is %s pixels too wide", over)
	}
	if text := b.Eval(`document.body.innerText`); !strings.Contains(text, "no <memory>") {
		t.Errorf("the page says %s", text)
	}
	b.Picture("loop-narrow")
}
