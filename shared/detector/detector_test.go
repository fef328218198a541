package detector

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/modelpackage"
)

// The same photo is answered alike whether it is alone or one of many, whatever
// photo the worker saw before.
func TestDetect_manyAtOnceAnswerAsOneAlone(t *testing.T) {
	needRuntime(t)
	d := open(t, "testdata/dynamic.onnx", Options{Workers: 3, Threads: 2})
	photos := []string{"wide.jpg", "tall.jpg", "turned.jpg", "exact.png", "gray.jpg"}
	want := map[string][]modelpackage.Detection{}
	for _, p := range photos {
		r, err := d.Detect(t.Context(), read(t, p), Query{Conf: 0.05})
		if err != nil {
			t.Fatal(err)
		}
		want[p] = r.Detections
	}
	var wg sync.WaitGroup
	for caller := range 8 {
		wg.Go(func() {
			for i := range 20 {
				p := photos[(caller+i)%len(photos)]
				r, err := d.Detect(t.Context(), read(t, p), Query{Conf: 0.05})
				if err != nil {
					t.Error(err)
				} else if d := cmp.Diff(want[p], r.Detections); d != "" {
					t.Errorf("%s differs under load:\n%s", p, d)
				}
			}
		})
	}
	wg.Wait()
}

func TestDetect_refusals(t *testing.T) {
	needRuntime(t)
	d := open(t, "testdata/dynamic.onnx", Options{MaxPixels: 20_000})
	for name, c := range map[string]struct {
		photo []byte
		query Query
		code  errs.Code
	}{
		"conf above one":          {read(t, "exact.png"), Query{Conf: 1.5}, QueryInvalid},
		"conf is no number":       {read(t, "exact.png"), Query{Conf: math.NaN()}, QueryInvalid},
		"iou below zero":          {read(t, "exact.png"), Query{IoU: -1}, QueryInvalid},
		"too many boxes":          {read(t, "exact.png"), Query{MaxDet: 1e6}, QueryInvalid},
		"a class that is not":     {read(t, "exact.png"), Query{Classes: []int{7}}, QueryInvalid},
		"not a photo":             {[]byte("no"), Query{}, "photo-unreadable"},
		"more pixels than agreed": {read(t, "wide.jpg"), Query{}, "photo-too-large"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := d.Detect(t.Context(), c.photo, c.query)
			if code, _ := errs.Reason(err); code != c.code {
				t.Errorf("error %v, want %s", err, c.code)
			}
		})
	}
	if _, err := d.Detect(t.Context(), read(t, "exact.png"), Query{}); err != nil {
		t.Errorf("after refusals a good photo fails: %v", err)
	}
}

func TestDetect_cancelled(t *testing.T) {
	needRuntime(t)
	d := open(t, "testdata/dynamic.onnx", Options{Workers: 1})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 20 {
		if _, err := d.Detect(ctx, read(t, "exact.png"), Query{}); !errors.Is(err, context.Canceled) {
			t.Fatalf("error %v, want context.Canceled", err)
		}
		if _, err := d.Detect(t.Context(), read(t, "exact.png"), Query{}); err != nil {
			t.Fatalf("the next photo fails too: %v", err)
		}
	}
}

func TestDetect_afterClose(t *testing.T) {
	needRuntime(t)
	d := open(t, "testdata/dynamic.onnx", Options{})
	for range 2 {
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := d.Detect(t.Context(), read(t, "exact.png"), Query{}); err == nil {
		t.Error("a closed detector answers")
	}
}

// Every awkward photo gives boxes or a reason, and none harms the next.
func TestDetect_awkwardPhotos(t *testing.T) {
	needRuntime(t)
	files, _ := filepath.Glob(filepath.Join(shared, "awkward", "*"))
	if len(files) == 0 {
		t.Skip("no collection of awkward photos")
	}
	d := open(t, "testdata/dynamic.onnx", Options{})
	want, err := d.Detect(t.Context(), read(t, "exact.png"), Query{})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		photo, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		r, err := d.Detect(t.Context(), photo, Query{Conf: 0.01})
		if _, permanent := errs.Reason(err); err != nil && !permanent {
			t.Errorf("%s: %v carries no reason", f, err)
		}
		for _, b := range r.Detections {
			if b.Box[0] < 0 || b.Box[1] < 0 || b.Box[2] > float64(r.Width) || b.Box[3] > float64(r.Height) {
				t.Errorf("%s: box %v outside of %dx%d", f, b.Box, r.Width, r.Height)
			}
		}
		got, err := d.Detect(t.Context(), read(t, "exact.png"), Query{})
		if err != nil || !slices.Equal(got.Detections, want.Detections) {
			t.Errorf("after %s the same photo is answered differently (%v)", f, err)
		}
	}
}

func golden(t *testing.T, d *Detector) modelpackage.Golden {
	t.Helper()
	g := modelpackage.Golden{Conf: 0.25, IoU: 0.7, MaxDet: 300}
	for _, p := range []string{"wide.jpg", "exact.png"} {
		r, err := d.Detect(t.Context(), read(t, p), Query{Conf: g.Conf, IoU: g.IoU, MaxDet: g.MaxDet})
		if err != nil {
			t.Fatal(err)
		}
		g.Photos = append(g.Photos, modelpackage.GoldenPhoto{File: p, Detections: r.Detections})
	}
	return g
}

func TestCheckGolden(t *testing.T) {
	needRuntime(t)
	d := open(t, "testdata/dynamic.onnx", Options{})
	file := func(f string) ([]byte, error) { return os.ReadFile("testdata/" + f) }
	if err := d.CheckGolden(t.Context(), golden(t, d), file); err != nil {
		t.Errorf("a model that answers as expected is refused: %v", err)
	}
	for name, spoil := range map[string]func(*modelpackage.GoldenPhoto){
		"a box moved by a pixel": func(p *modelpackage.GoldenPhoto) { p.Detections[0].Box[2] += 1 },
		"another confidence":     func(p *modelpackage.GoldenPhoto) { p.Detections[0].Confidence -= 0.01 },
		"another class":          func(p *modelpackage.GoldenPhoto) { p.Detections[0].ClassID++ },
		"one box more expected": func(p *modelpackage.GoldenPhoto) {
			p.Detections = append(p.Detections, modelpackage.Detection{Confidence: 0.9})
		},
		"one box fewer expected":  func(p *modelpackage.GoldenPhoto) { p.Detections = p.Detections[1:] },
		"nothing expected at all": func(p *modelpackage.GoldenPhoto) { p.Detections = nil },
		"another photo":           func(p *modelpackage.GoldenPhoto) { p.SHA256 = strings.Repeat("0", 64) },
	} {
		t.Run(name, func(t *testing.T) {
			g := golden(t, d)
			spoil(&g.Photos[1])
			err := d.CheckGolden(t.Context(), g, file)
			if code, _ := errs.Reason(err); code != GoldenDiffers || !strings.Contains(err.Error(), "exact.png") || strings.Contains(err.Error(), "wide.jpg") {
				t.Errorf("error %v, want %s that names exact.png alone", err, GoldenDiffers)
			}
		})
	}
}

func TestSameDetections_threshold(t *testing.T) {
	near := []modelpackage.Detection{{Confidence: 0.2505, Box: [4]float64{1, 1, 2, 2}}}
	if err := SameDetections(nil, near, 0.25); err != nil {
		t.Errorf("a box at the threshold may go: %v", err)
	}
	if err := SameDetections(near, nil, 0.25); err != nil {
		t.Errorf("a box at the threshold may come: %v", err)
	}
}

func TestHalf(t *testing.T) {
	for f, want := range map[float32]uint16{
		0: 0, 1: 0x3c00, 0.5: 0x3800, 1.0 / 255: 0x1c04, 114.0 / 255: 0x3727, 2: 0x4000,
		0x1p-14: 0x0400, 0x1p-24: 1, 0x1p-25: 0, 0x1.8p-25: 1, 1 - 0x1p-12: 0x3c00, 1 - 0x1p-11: 0x3bff,
	} {
		if got := half(f); got != want {
			t.Errorf("half(%v) = %#04x, want %#04x", f, got, want)
		}
	}
}
