package drift

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/litterloop/litterloop/shared/predictionlog"
)

// The simulations behind docs/decisions/0070-drift-verdict.md:
//
//	go test -run '^$' -bench 'Simulate' -benchtime 1x ./shared/drift
//
// They are seeded; alarms/year counts alarms on harmless traffic.

// slight is a shift at the edge of what a day's photos can show.
var slight = traffic{dark: 0.12, blur: 0.15, lost: 0.08}

// tally counts the outcomes of checks.
type tally struct {
	checks, alarms, anyColumn, halfColumns int
}

func (c *tally) add(r *Report) {
	c.checks++
	if r.Verdict.Outcome == Drifted {
		c.alarms++
	}
	if r.Evidently.Share > 0 {
		c.anyColumn++
	}
	if r.Evidently.Drifted {
		c.halfColumns++
	}
}

func (c tally) report(b *testing.B, shifts map[string]*tally) {
	aYear := func(n int) float64 { return 365.25 * float64(n) / float64(c.checks) }
	b.ReportMetric(float64(c.checks), "checks")
	b.ReportMetric(aYear(c.alarms), "alarms/year")
	b.ReportMetric(aYear(c.anyColumn), "evidently-any/year")
	b.ReportMetric(aYear(c.halfColumns), "evidently-half/year")
	for name, s := range shifts {
		b.ReportMetric(100*float64(s.alarms)/float64(s.checks), name+"-found-%")
	}
	b.ReportMetric(0, "ns/op")
}

// BenchmarkSimulate_package checks windows against a model's own reference.
func BenchmarkSimulate_package(b *testing.B) {
	p := DefaultPolicy()
	p.Splits = 2000
	for _, c := range []struct{ reference, window, checks int }{{40, 30, 1500}, {40, 60, 1500}, {40, 100, 1500}} {
		b.Run(fmt.Sprintf("reference=%d/window=%d", c.reference, c.window), func(b *testing.B) {
			for b.Loop() {
				rng := rand.New(rand.NewPCG(uint64(c.reference), uint64(c.window)))
				var harmless tally
				shifts := map[string]*tally{"slight": {}, "moderate": {}, "severe": {}}
				check := func(s traffic) *Report {
					in := oneDay(rng, s, c.window)
					in.Package = Harmless.rows(rng, c.reference, monday, time.Hour)
					return Analyse(p, in)
				}
				for i := range c.checks {
					harmless.add(check(Harmless))
					if i%10 == 0 {
						shifts["slight"].add(check(slight))
						shifts["moderate"].add(check(Moderate))
						shifts["severe"].add(check(Severe))
					}
				}
				harmless.report(b, shifts)
			}
		})
	}
}

// BenchmarkSimulate_year lives a year day by day on its own history, with a
// weekly rhythm (fewer photos at weekends, darker and less certain) and days that
// differ among themselves.
func BenchmarkSimulate_year(b *testing.B) {
	p := DefaultPolicy()
	for _, c := range []struct{ perDay, years int }{{60, 8}, {300, 2}} {
		for _, rhythm := range []bool{false, true} {
			b.Run(fmt.Sprintf("photos=%d/rhythm=%v", c.perDay, rhythm), func(b *testing.B) {
				for b.Loop() {
					var harmless tally
					shifts := map[string]*tally{"slight": {}, "moderate": {}, "severe": {}}
					for year := range c.years {
						liveYear(p, uint64(year), c.perDay, rhythm, &harmless, shifts)
					}
					harmless.report(b, shifts)
				}
			})
		}
	}
}

func liveYear(p Policy, seed uint64, perDay int, rhythm bool, harmless *tally, shifts map[string]*tally) {
	rng := rand.New(rand.NewPCG(seed, uint64(perDay)))
	days := make([][]predictionlog.Row, 365)
	for d := range days {
		at, n, s := monday.AddDate(0, 0, d), perDay, Harmless
		if rhythm {
			s.weekend = 1
			s.dark, s.lost = 0.03*math.Abs(rng.NormFloat64()), 0.02*math.Abs(rng.NormFloat64())
			if w := at.Weekday(); w == time.Saturday || w == time.Sunday {
				n = perDay * 3 / 5
			}
		}
		days[d] = s.rows(rng, n, at, 24*time.Hour)
	}
	history := p.Reference.Days + p.Reference.LagDays
	for d := history; d < len(days); d++ {
		var log []predictionlog.Row
		for _, day := range days[d-history : d] {
			log = append(log, day...)
		}
		from := monday.AddDate(0, 0, d)
		check := func(today []predictionlog.Row) *Report {
			return Analyse(p, Input{Model: "litter", ModelVersion: "1", From: from, To: from.AddDate(0, 0, 1), Log: append(log[:len(log):len(log)], today...), Package: days[0][:40]})
		}
		harmless.add(check(days[d]))
		if d%10 == 0 {
			for name, s := range map[string]traffic{"slight": slight, "moderate": Moderate, "severe": Severe} {
				today := s.rows(rand.New(rand.NewPCG(seed, uint64(d))), len(days[d]), from, 24*time.Hour)
				shifts[name].add(check(today))
			}
		}
	}
}

func BenchmarkAnalyse_package(b *testing.B) {
	in := oneDay(rand.New(rand.NewPCG(1, 1)), Severe, 60)
	for b.Loop() {
		Analyse(DefaultPolicy(), in)
	}
}

func BenchmarkAnalyse_history(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 1))
	to := monday.AddDate(0, 0, 64)
	in := Input{Model: "litter", ModelVersion: "1", From: to.AddDate(0, 0, -1), To: to, Log: Harmless.rows(rng, 64*300, monday, 64*24*time.Hour)}
	for b.Loop() {
		Analyse(DefaultPolicy(), in)
	}
}
