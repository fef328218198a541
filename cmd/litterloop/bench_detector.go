package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/litterloop/litterloop/cmd/litterloop/detectorbench"
)

type benchDetectorCmd struct {
	Rounds  int      `help:"How often each server gets its turn." default:"5"`
	Only    []string `help:"Sizes of photo: 640x480, 12MP." enum:"640x480,12MP" default:"640x480,12MP"`
	Anchors []string `help:"Python servers beside it: ultralytics, onnxruntime, none." enum:"ultralytics,onnxruntime,none" default:"ultralytics,onnxruntime"`
	Retune  bool     `help:"Look for the best setting of each Python server again."`
	Dynamic string   `help:"Ultralytics export of dynamic shape; without it, YOLO11n with random weights." type:"existingfile" placeholder:"ONNX" and:"models"`
	Static  string   `help:"The same model, exported with a fixed shape." type:"existingfile" placeholder:"ONNX" and:"models"`
	Photo   string   `help:"JPEG of about 12 megapixels; without it, a drawn one." type:"existingfile" placeholder:"JPEG"`
}

// Run measures the detector beside servers in Python, one after the other.
func (c *benchDetectorCmd) Run(ctx context.Context, g *globals) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return fmt.Errorf("the directory of caches: %w", err)
	}
	results, err := detectorbench.Run(ctx, detectorbench.Options{
		Self: self, Cache: filepath.Join(cache, "litterloop", "bench-detector"),
		Anchors: slices.DeleteFunc(c.Anchors, func(a string) bool { return a == "none" }),
		Sizes:   c.Only, Rounds: c.Rounds, Retune: c.Retune, Dynamic: c.Dynamic, Static: c.Static, Photo: c.Photo,
		Say: func(s string) { fmt.Fprintln(g.stderr, s) },
	})
	if err != nil {
		return err
	}
	report := detectorbench.NewReport(results)
	return g.answer(report, report.Print)
}
