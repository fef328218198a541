package drift

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/litterloop/litterloop/shared/predictionlog"
)

// years is the daily check, by sketches, lived through on traffic in which nothing
// changes for good: weekends bring fewer photos, darker and less certain, and days
// differ by their weather. Labels are always there, so drift that opens trains a
// version at once: one that nobody needed, whose history begins anew.
type years struct {
	policy      Policy
	perDay      int     // photos of a weekday; a weekend's day has 3/5 of them
	weather     float64 // correlation of a day's weather with the next day's
	firstChecks int     // retrain.Policy's: checks in a row that open drift without a history
}

// lived is what came of it.
type lived struct {
	days, byPackage              int // checks, and those against the model's own reference
	alarms, alarmsByPackage      int
	retrains                     int
	tried, foundAtOnce, notInLag int // shifts that stay, against a history
	delay                        int // days until those that were found were
}

// weatherOf is a scene on a day of that weather.
func weatherOf(s traffic, weather [2]float64) traffic {
	s.weekend = 1
	s.dark += 0.03 * math.Abs(weather[0])
	s.lost += 0.02 * math.Abs(weather[1])
	return s
}

func (y years) day(rng *rand.Rand, s traffic, d int) ([]predictionlog.Row, *Sketch) {
	at, n := monday.AddDate(0, 0, d), y.perDay
	if w := at.Weekday(); w == time.Saturday || w == time.Sunday {
		n = n * 3 / 5
	}
	rows, sketch := s.rows(rng, n, at, 24*time.Hour), newSketch()
	for _, r := range rows {
		sketch.Add(r)
	}
	return rows, sketch
}

// validation is a model's own reference: 100 photos of as many days.
func validation(rng *rand.Rand) (rows []predictionlog.Row) {
	for i := range 100 {
		s := weatherOf(Harmless, [2]float64{rng.NormFloat64(), rng.NormFloat64()})
		rows = append(rows, s.rows(rng, 1, monday.AddDate(0, 0, i%7), time.Hour)...)
	}
	return rows
}

// live checks every day. Each month it also tries, beside the traffic that goes on
// unchanged, how soon a shift that stays is found.
func (y years) live(seed uint64, days int, shift traffic) (l lived) {
	rng, lag := rand.New(rand.NewPCG(seed, uint64(y.perDay))), y.policy.Reference.LagDays
	var log []period
	var weather [2]float64
	born, pkg, row := 0, validation(rng), 0
	for d := range days {
		for i := range weather {
			weather[i] = y.weather*weather[i] + math.Sqrt(1-y.weather*y.weather)*rng.NormFloat64()
		}
		rows, sketch := y.day(rng, weatherOf(Harmless, weather), d)
		end := max(d+1-lag, 0)
		history := log[min(max(born, end-y.policy.Reference.Days), end):end]
		in := Input{Model: "litter", ModelVersion: "1", From: monday.AddDate(0, 0, d), To: monday.AddDate(0, 0, d+1), Log: rows, Package: pkg}
		r, known := analyseSketches(y.policy, in, scaled{from: in.From, to: in.To, window: sketch, history: history})
		if !known {
			r = Analyse(y.policy, in)
			l.byPackage++
		}
		log = append(log, period{in.From, in.To, sketch})
		l.days++
		if r.Verdict.Outcome != Drifted {
			row = 0
		} else {
			row++
			l.alarms++
			if !known {
				l.alarmsByPackage++
			}
			if known || row >= y.firstChecks {
				l.retrains++
				born, pkg, row = d+1, validation(rng), 0
			}
		}
		if known && d%30 == 0 {
			y.try(rand.New(rand.NewPCG(seed, uint64(d))), weatherOf(shift, weather), d, history, &l)
		}
	}
	return l
}

// try lets a shift begin on day d, and looks until it would be part of the history.
func (y years) try(rng *rand.Rand, s traffic, d int, history []period, l *lived) {
	l.tried++
	for k := range y.policy.Reference.LagDays {
		_, sketch := y.day(rng, s, d+k)
		from := monday.AddDate(0, 0, d+k)
		in := Input{Model: "litter", ModelVersion: "1", From: from, To: from.AddDate(0, 0, 1)}
		r, _ := analyseSketches(y.policy, in, scaled{from: in.From, to: in.To, window: sketch, history: history})
		if r.Verdict.Outcome == Drifted {
			l.delay += k + 1
			if k == 0 {
				l.foundAtOnce++
			}
			return
		}
	}
	l.notInLag++
}

// Four months of one small service: the whole run is BenchmarkSimulate_years.
func TestYears_nothingChangesAndHardlyAnythingIsTrained(t *testing.T) {
	p := DefaultPolicy()
	p.Splits = 1000
	l := years{p, 60, 0.7, 3}.live(1, 120, Moderate)
	if l.retrains > 1 || l.byPackage == l.days {
		t.Errorf("%+v: more than one training for nothing in four months", l)
	}
	if l.tried < 3 || l.notInLag > 0 || l.delay > 2*l.tried {
		t.Errorf("%+v: a moderate shift that stays is to be found within two days", l)
	}
}

// BenchmarkSimulate_years is the figures of docs/decisions/0075-drift-of-young-versions.md.
func BenchmarkSimulate_years(b *testing.B) {
	const runs = 4 // years
	p := DefaultPolicy()
	p.Splits = 1000
	for _, perDay := range []int{60, 300, 2000, 6000} {
		for _, weather := range []float64{0, 0.7} {
			for _, firstChecks := range []int{1, 2, 3} {
				b.Run(fmt.Sprintf("photos=%d/weather=%v/first_checks=%d", perDay, weather, firstChecks), func(b *testing.B) {
					for b.Loop() {
						var sum lived
						for seed := range uint64(runs) {
							l := years{p, perDay, weather, firstChecks}.live(seed, 365, slight)
							sum.days += l.days
							sum.byPackage += l.byPackage
							sum.alarms += l.alarms
							sum.alarmsByPackage += l.alarmsByPackage
							sum.retrains += l.retrains
							sum.tried += l.tried
							sum.foundAtOnce += l.foundAtOnce
							sum.notInLag += l.notInLag
							sum.delay += l.delay
						}
						b.ReportMetric(float64(sum.retrains)/runs, "false-retrains/year")
						b.ReportMetric(float64(sum.alarmsByPackage), "alarms-by-package")
						b.ReportMetric(float64(sum.byPackage), "checks-by-package")
						b.ReportMetric(float64(sum.alarms-sum.alarmsByPackage), "alarms-by-history")
						b.ReportMetric(float64(sum.days-sum.byPackage), "checks-by-history")
						b.ReportMetric(float64(sum.foundAtOnce)/float64(max(sum.tried, 1))*100, "slight-found-first-day-%")
						b.ReportMetric(float64(sum.notInLag)/float64(max(sum.tried, 1))*100, "slight-not-found-in-lag-%")
						b.ReportMetric(float64(sum.delay)/float64(max(sum.tried-sum.notInLag, 1)), "days-until-found")
						b.ReportMetric(0, "ns/op")
					}
				})
			}
		}
	}
}
