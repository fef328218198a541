package embedded

import (
	"context"
	"encoding/json"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/litterloop/litterloop/shared/drawing"
	"github.com/litterloop/litterloop/shared/training/embedded/graph"
	"github.com/litterloop/litterloop/shared/training/embedded/network"
)

// BenchmarkStep is one optimiser step of the default network at batch 4, 256
// px, with the preparation of its batch. cpu-ms/op is processor time, which
// neighbours on the machine disturb less than the clock.
func BenchmarkStep(b *testing.B) {
	needRuntime(b)
	r := DefaultRecipe()
	r.BatchSize, r.ImageSize = 4, 256
	photos, err := decodeTrain(b.Context(), drawn(b, 1, 32, drawing.Day), r, 0)
	if err != nil {
		b.Fatal(err)
	}
	e, err := newEngine(own{network.Config{Classes: drawing.Classes, Width: r.Width}, r.ImageSize, r.ImageSize}, r)
	if err != nil {
		b.Fatal(err)
	}
	defer e.close()
	s, err := newBatches(photos, r).stream(1, func(int) float64 { return 0 })
	if err != nil {
		b.Fatal(err)
	}
	defer s.close()
	hyper := graph.Hyper(1, 1e-3, 0, 0.9)
	for range 3 {
		x := s.next()
		if _, _, err := e.step(x, hyper[:], 0.3); err != nil {
			b.Fatal(err)
		}
		s.recycle(x)
	}
	start := cpuTime()
	for b.Loop() {
		x := s.next()
		if _, _, err := e.step(x, hyper[:], 0.3); err != nil {
			b.Fatal(err)
		}
		s.recycle(x)
	}
	b.ReportMetric((cpuTime()-start).Seconds()*1e3/float64(b.N), "cpu-ms/op")
}

// BenchmarkTrain is the whole training of the default recipe on 160 drawn
// photos, measured on 40 others.
func BenchmarkTrain(b *testing.B) {
	needRuntime(b)
	r := recipe(b)
	data := Data{Classes: drawing.Classes, Train: drawn(b, 1, 160, drawing.Day), Val: drawn(b, 2, 40, drawing.Day)}
	for b.Loop() {
		start, began := cpuTime(), time.Now()
		hooks := Hooks{
			Step: func(s Step) {
				if s.Step%100 == 0 {
					b.Logf("step %d box %.3f class %.3f pos %d norm %.2f cpu %.1fs wall %.1fs", s.Step, s.BoxLoss, s.ClassLoss, s.Positives, s.GradientNorm, (cpuTime() - start).Seconds(), time.Since(began).Seconds())
				}
			},
			Validation: func(_ context.Context, v Validation) error {
				b.Logf("step %d mAP50 %.4f mAP %.4f", v.Step, v.Metrics.MAP50, v.Metrics.MAP50_95)
				return nil
			},
		}
		m, err := Train(b.Context(), data, r, hooks)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(m.Metrics.MAP50, "mAP50")
		b.ReportMetric(m.Metrics.MAP50_95, "mAP50-95")
		b.ReportMetric((cpuTime() - start).Seconds(), "cpu-s/op")
		if err := m.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkContinue goes on from the default recipe's model with 40 photos of
// dusk, a kind that it never saw; the metrics are mAP50 on held-out dusk before
// and after, and on held-out day after.
func BenchmarkContinue(b *testing.B) {
	needRuntime(b)
	r := recipe(b)
	day, dusk := drawn(b, 1, 160, drawing.Day), drawn(b, 3, 40, drawing.Dusk)
	heldOut := map[string][]Sample{"day": drawn(b, 2, 40, drawing.Day), "dusk": drawn(b, 4, 40, drawing.Dusk)}
	first, err := Train(b.Context(), Data{Classes: drawing.Classes, Train: day}, r, Hooks{})
	if err != nil {
		b.Fatal(err)
	}
	defer first.Close()
	for b.Loop() {
		start := cpuTime()
		second, err := Train(b.Context(), Data{Classes: drawing.Classes, Train: append(dusk, day...), Start: first.Checkpoint}, r, Hooks{})
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric((cpuTime() - start).Seconds(), "cpu-s/op")
		for name, m := range map[string]*Model{"before": first, "after": second} {
			for kind, samples := range heldOut {
				photos, err := decodeVal(b.Context(), samples, own{serveSize: r.ImageSize})
				if err != nil {
					b.Fatal(err)
				}
				metrics, err := measure(b.Context(), m.predictor, photos, 0.7)
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(metrics.MAP50, "mAP50-"+kind+"-"+name)
			}
		}
		if err := second.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// recipe is the default, or as LITTERLOOP_RECIPE, JSON, changes it.
func recipe(b *testing.B) Recipe {
	r := DefaultRecipe()
	if s := os.Getenv("LITTERLOOP_RECIPE"); s != "" {
		if err := json.Unmarshal([]byte(s), &r); err != nil {
			b.Fatal(err)
		}
	}
	return r
}
