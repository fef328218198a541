package detector

import (
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/litterloop/litterloop/shared/imaging"
	"golang.org/x/sys/unix"
)

// BenchmarkDetect is a whole answer, photo to boxes, with a real network where
// the machine has one: alone, and under the load of 16 callers.
func BenchmarkDetect(b *testing.B) {
	needRuntime(b)
	for _, c := range []struct{ name, model, photo string }{
		{"fixture", "testdata/dynamic.onnx", "testdata/wide.jpg"},
		{"yolo11n/2.2MP", filepath.Join(shared, "parity", "yolo11n_dynamic.onnx"), filepath.Join(shared, "exif_orientation", "Landscape_1.jpg")},
	} {
		photo, err := os.ReadFile(c.photo)
		if err != nil {
			continue // only machines with the recorded data measure it
		}
		d := open(b, c.model, Options{})
		detect := func() {
			if _, err := d.Detect(b.Context(), photo, Query{}); err != nil {
				b.Error(err)
			}
		}
		b.Run(c.name+"/alone", func(b *testing.B) {
			b.ReportAllocs()
			defer reportCPU(b)()
			for b.Loop() {
				detect()
			}
		})
		b.Run(c.name+"/model-alone", func(b *testing.B) { // what no server can be below
			w := <-d.workers
			defer func() { d.workers <- w }()
			im, err := imaging.Decode(photo)
			if err != nil {
				b.Fatal(err)
			}
			g := d.fit(im.W, im.H)
			g.Letterbox(w.input, im)
			defer reportCPU(b)()
			for b.Loop() {
				if err := d.lone.run(b.Context(), w, g.InputW, g.InputH, func([]float32, []int64) error { return nil }); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(c.name+"/16-callers", func(b *testing.B) {
			defer reportCPU(b)()
			var wg sync.WaitGroup
			turns := make(chan struct{})
			for range 16 {
				wg.Go(func() {
					for range turns {
						detect()
					}
				})
			}
			for range b.N {
				turns <- struct{}{}
			}
			close(turns)
			wg.Wait()
		})
	}
}

// reportCPU adds the processor time of an operation, which other programs on
// the machine disturb less than its wall time.
func reportCPU(b *testing.B) func() {
	before := cpu()
	return func() { b.ReportMetric(float64(cpu()-before)/float64(b.N)/1e6, "cpu-ms/op") }
}

func cpu() int64 {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return u.Utime.Nano() + u.Stime.Nano()
}

// BenchmarkSuppress is the decoding of a busy output: 8,400 anchors, 60 classes.
func BenchmarkSuppress(b *testing.B) {
	const classes, anchors = 60, 8400
	out := make([]float32, (4+classes)*anchors)
	for i := range anchors {
		out[i], out[anchors+i] = float32(i%80*8), float32(i/80*6)
		out[2*anchors+i], out[3*anchors+i] = 30, 40
		out[(4+i%classes)*anchors+i] = float32(i%1000) / 1000
	}
	var s suppressor
	q := Query{}.withDefaults()
	b.ReportAllocs()
	for b.Loop() {
		s.anchors(out, classes, anchors, q)
	}
}
